"""Executing: callbacks hear everything, observers are told, however the system is used."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from llmos_core import LLMOS, Event, Outcome, Result, Run, RunInterruptedError, Task
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile
from tests.parts import Echo, EchoInput, Model, Parts, Script, ask, call

KINDS = ["user_input", "mode_chosen", "tool_started", "tool_output", "outcome"]


async def act(run: Run) -> str:
    await run.call(call(run.task.goal))
    return run.task.goal


def system_of(*strategies: Any, **parts: Any) -> LLMOS:
    return LLMOS.in_memory({"parts": Parts(strategies=strategies, tools=[Echo()], **parts)})


async def test_a_callback_hears_every_event_in_order() -> None:
    seen: list[Any] = []
    async with system_of(Script(act)) as system:
        outcome = await system.execute("go", on_event=seen.append)
    assert [event.type for event in seen] == KINDS
    assert [event.seq for event in seen] == [1, 2, 3, 4, 5]
    assert seen[-1].outcome == outcome


async def test_a_callback_may_be_async_and_is_waited_for() -> None:
    seen: list[str] = []

    async def hear(event: Any) -> None:
        await checkpoint()
        seen.append(event.type)

    assert (await system_of(Script(act)).execute("go", on_event=hear)).success
    assert seen == KINDS


async def test_each_callback_hears_its_own_run() -> None:
    heard: dict[str, list[str]] = {"a": [], "b": []}
    async with system_of(Script(act)) as system:

        async def go(goal: str) -> None:
            def hear(event: Any) -> None:
                heard[goal].append(event.run_id)

            await system.execute(goal, on_event=hear)

        async with anyio.create_task_group() as group:
            for goal in heard:
                group.start_soon(go, goal)
    assert [len(ids) for ids in heard.values()] == [5, 5]
    assert all(len(set(ids)) == 1 for ids in heard.values())
    assert set(heard["a"]).isdisjoint(heard["b"])


async def test_a_callback_hears_the_runs_within_the_run() -> None:
    async def outer(run: Run) -> str:
        return (await run.execute(Task(goal="inner", mode="MIDDLE"))).output

    async def middle(run: Run) -> str:
        return (await run.execute(Task(goal="innermost", mode="SCRIPT"))).output

    async def talking(run: Run) -> str:
        await ask(run)
        return "deep"

    seen: list[Any] = []
    strategies = [Script(outer, name="OUTER"), Script(middle, name="MIDDLE", cost=1), Script(talking, cost=2)]
    async with system_of(*strategies, models=[Model()]) as system:
        outcome = await system.execute("go", mode="outer", on_event=seen.append)
    assert outcome.output == "deep"
    starts = [event for event in seen if event.type == "user_input"]
    assert [event.task.goal for event in starts] == ["go", "inner", "innermost"]
    assert [event.parent for event in starts] == [None, starts[0].run_id, starts[1].run_id]
    [delta] = [event for event in seen if event.type == "llm_delta"]
    assert delta.run_id == starts[2].run_id
    assert [event.run_id for event in seen if event.type == "outcome"] == [event.run_id for event in reversed(starts)]


class HeardEnough(Exception):
    """What a callback raises."""


@pytest.mark.parametrize("at", ["user_input", "tool_started", "outcome"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_callback_that_raises_ends_the_run_with_its_error(at: str, is_async: bool) -> None:
    def hear(event: Any) -> None:
        if event.type == at:
            raise HeardEnough(at)

    async def hear_async(event: Any) -> None:
        await checkpoint()
        hear(event)

    async def slow(run: Run) -> str:
        await run.call(call())
        if at != "outcome":
            await anyio.sleep_forever()
        return "done"

    async with system_of(Script(slow)) as system:
        with system.events() as events:
            with pytest.raises(HeardEnough, match=at):
                await system.execute("go", on_event=hear_async if is_async else hear)
            seen: list[Any] = []
            while events.statistics().current_buffer_used:
                seen.append(events.receive_nowait())
        assert seen[-1].type == "outcome"
        assert seen[-1].outcome.exit_code == (0 if at == "outcome" else 130)
        again = await system.execute("again", timeout_s=0.05)
    assert again.exit_code == (0 if at == "outcome" else 124)


async def test_a_slow_callback_loses_nothing_and_a_cancelled_run_ends_it() -> None:
    seen: list[str] = []

    async def hear(event: Any) -> None:
        seen.append(event.type)
        if event.type == "tool_started":
            await anyio.sleep_forever()

    async with system_of(Script(act)) as system:
        with anyio.move_on_after(0.1) as scope:
            await system.execute("go", on_event=hear)
    assert scope.cancelled_caught
    assert seen == ["user_input", "mode_chosen", "tool_started"]


async def test_errors_of_what_cannot_begin_come_as_they_are() -> None:
    from llmos_core import UsageError

    async with system_of(Script(act)) as system:
        with pytest.raises(UsageError, match="There is no mode nope"):
            await system.execute("go", mode="nope", on_event=print)


@pytest.mark.parametrize("times", [1, 2])
async def test_without_a_context_observers_are_told_too(times: int) -> None:
    seen: list[str] = []

    async def watch(event: Event) -> None:
        seen.append(event.type)  # type: ignore[attr-defined]

    system = system_of(Script(act), llmos_event=watch)
    for _ in range(times):
        assert (await system.execute("go")).success
    assert seen == KINDS * times


async def test_without_a_context_one_runs_after_the_other_and_each_is_observed_to_its_end() -> None:
    seen: list[tuple[str, str]] = []
    running = most = 0

    async def watch(event: Event) -> None:
        seen.append((event.run_id, event.type))  # type: ignore[attr-defined]

    async def slow(run: Run) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5 if run.task.goal == "short" else 200):
            await checkpoint()
        running -= 1
        return await act(run)

    system = system_of(Script(slow), llmos_event=watch)
    outcomes = []

    async def go(goal: str) -> None:
        outcomes.append(await system.execute(goal))

    async with anyio.create_task_group() as group:
        for goal in ("short", "long", "short"):
            group.start_soon(go, goal)
            while not running:
                await checkpoint()
    assert most == 1
    assert all(outcome.success for outcome in outcomes)
    for outcome in outcomes:
        assert [kind for run_id, kind in seen if run_id == outcome.run_id] == KINDS
    async with system:
        assert (await system.execute("go")).success


async def test_a_run_that_was_cancelled_leaves_the_system_usable() -> None:
    async def slow(run: Run) -> str:
        if run.task.goal == "slow":
            await anyio.sleep_forever()
        return "quick"

    system = system_of(Script(slow))
    with anyio.move_on_after(0.05):
        await system.execute("slow")
    assert (await system.execute("go")).output == "quick"


async def test_what_stops_a_run_is_its_outcome() -> None:
    async def stop(run: Run) -> Result:
        raise RunInterruptedError("The run was interrupted.")

    async with system_of(Script(stop)) as system:
        assert (await system.execute("go")).exit_code == 130


async def test_a_task_within_a_task_may_use_no_more_tools() -> None:
    async def outer(run: Run) -> str:
        inner = await run.execute(Task(goal="inner", mode="SCRIPT", constraints=("Use only Echo",)))
        return inner.output

    async def inner(run: Run) -> str:
        return (await run.call(call())).output

    settings = SettingsFile(settings=Settings(limits=LimitSettings(parallel_runs=1)))
    parts = Parts(strategies=[Script(outer, name="OUTER"), Script(inner, cost=1)], tools=[Echo()])
    async with LLMOS.in_memory({"parts": parts}, settings) as system:
        outcome = await system.execute("go", mode="outer", constraints=["No Echo"])
        assert outcome.output == "Echo was refused: the constraints of this task forbid Echo"
        assert (await system.execute("go", mode="outer")).output == "hello"


async def test_what_is_not_enforced_is_said() -> None:
    class Learning(Script):
        learns = True

    seen: list[Any] = []
    task = Task(goal="go", constraints=("Must be Python", "Max 60 seconds", "No Echo"))
    await system_of(Learning(act)).execute_task(task, seen.append)
    told = [event.text for event in seen if event.type == "notice"]
    assert told == ["Told to the model, not enforced: Must be Python"]


async def test_the_deadline_holds_for_what_comes_after_the_answer_too() -> None:
    async def llmos_stop(outcome: Outcome, run: Run) -> Outcome:
        await anyio.sleep_forever()
        return outcome

    with anyio.fail_after(30):
        outcome = await system_of(Script(act), llmos_stop=llmos_stop).execute("go", timeout_s=0.3)
    assert (outcome.success, outcome.output) == (True, "go")
    assert outcome.duration_s >= 0.3


async def test_a_run_describes_its_tools_and_model_and_hands_out_neither() -> None:
    async def act(run: Run) -> str:
        assert not hasattr(run.tools["Echo"], "run")
        assert not hasattr(run.model, "open")
        assert run.tools["Echo"].effect(EchoInput(text="x")) == "pure"
        return f"{run.tools['Echo'].plugin} {run.model.name} {run.model.billing}"

    parts = Parts([Echo()], [Script(act)], [Model()])
    async with LLMOS.in_memory({"parts": parts}) as system:
        assert (await system.execute("go")).output == "parts canned real"

"""The tool door: guards -> journal START -> execute -> journal END -> observers, for every call, exactly once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anyio
import pytest

from llmos_core import LLMOS, Outcome, Run, ToolCall, ToolResult, Verdict
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile
from llmos_core.kernel import gate
from tests.parts import Echo, Parts, Script, call

IMPATIENT = SettingsFile(settings=Settings(limits=LimitSettings(guard_timeout_s=0.05)))


async def perform(act: Any, *tools: Any, **hooks: Any) -> tuple[Outcome, list[Any]]:
    """Run a scripted strategy; its outcome and the run's events."""
    seen: list[Any] = []

    async def wrapped(run: Run) -> Any:
        try:
            return await act(run)
        finally:
            seen.extend([event async for event in run.history()])

    plugins = {"parts": Parts(tools=tools, strategies=[Script(wrapped)], **hooks)}
    async with LLMOS.in_memory(plugins, IMPATIENT) as system:
        outcome = await system.execute("do it")
    return outcome, seen


def kinds(events: list[Any]) -> list[str]:
    return [event.type for event in events if event.type.startswith("tool")]


async def test_a_call_is_journalled_before_and_after_it_runs() -> None:
    order: list[str] = []
    echo = Echo(before=lambda: order.append("ran"))

    async def guard(call: ToolCall, run: Run) -> None:
        order.append("guard")

    async def observer(call: ToolCall, result: ToolResult, run: Run) -> None:
        order.append(f"saw {result.output}")

    async def act(run: Run) -> str:
        return (await run.call(call("hi"))).output

    outcome, events = await perform(act, echo, llmos_pre_tool_use=guard, llmos_post_tool_use=observer)
    assert outcome.output == "hi"
    assert outcome.steps == 1
    assert order == ["guard", "ran", "saw hi"]
    assert kinds(events) == ["tool_started", "tool_output"]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert all(event.run_id == outcome.run_id and event.at for event in events)


async def raising(call: ToolCall, run: Run) -> None:
    raise RuntimeError("broken guard")


async def hanging(call: ToolCall, run: Run) -> None:
    await anyio.sleep_forever()


def blocking(call: ToolCall, run: Run) -> None:
    time.sleep(0.5)


async def stubborn(call: ToolCall, run: Run) -> Verdict:
    """Blocks the loop past its time, and then allows."""
    time.sleep(0.2)  # noqa: ASYNC251 - that is what it is for
    return Verdict.allow()


async def catching(call: ToolCall, run: Run) -> Verdict:
    """Catches its cancellation, and then allows."""
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        return Verdict.allow()


async def nonsense(call: ToolCall, run: Run) -> Any:
    return "allow"


async def leaving(call: ToolCall, run: Run) -> None:
    raise SystemExit(0)


@pytest.mark.parametrize("guard", [raising, hanging, blocking, stubborn, catching, nonsense, leaving])
async def test_a_guard_that_fails_in_any_way_denies(guard: Any) -> None:
    echo = Echo()

    async def act(run: Run) -> ToolResult:
        result = await run.call(call())
        assert result.is_error
        assert result.data["denied"] == "deny"
        assert result.data["rule"] == "guard-failed"
        return result

    outcome, events = await perform(act, echo, llmos_pre_tool_use=guard)
    assert outcome.success, outcome.error
    assert echo.ran == []
    assert kinds(events) == ["tool_denied"]


@pytest.mark.parametrize(
    ("verdicts", "denied"),
    [
        ([Verdict.allow(), Verdict.deny("no")], "deny"),
        ([Verdict.deny("no"), Verdict.allow()], "deny"),
        ([Verdict.ask("may I"), Verdict.allow()], "ask"),
        ([Verdict.allow("fine", "some.rule"), Verdict.ask("may I")], "ask"),
        ([Verdict.ask("may I"), Verdict.deny("no")], "deny"),
        ([Verdict.allow(), None], None),
    ],
)
async def test_the_strictest_verdict_wins(verdicts: list[Verdict | None], denied: str | None) -> None:
    echo = Echo()

    said: list[object] = []

    async def act(run: Run) -> None:
        said.append((await run.call(call())).data.get("denied"))

    plugins = {f"guard{place}": Parts(llmos_pre_tool_use=_saying(verdict)) for place, verdict in enumerate(verdicts)}
    plugins["parts"] = Parts(tools=[echo], strategies=[Script(act)])
    async with LLMOS.in_memory(plugins) as system:
        outcome = await system.execute("do it")
    assert said == [denied]
    assert outcome.exit_code == (6 if denied == "ask" else 0)
    assert bool(echo.ran) == (denied is None)


def _saying(verdict: Verdict | None) -> Any:
    async def guard(call: ToolCall, run: Run) -> Verdict | None:
        return verdict

    return guard


async def test_an_observer_that_fails_is_reported_and_the_run_goes_on() -> None:
    async def observer(call: ToolCall, result: ToolResult, run: Run) -> None:
        raise ValueError("bad observer")

    async def act(run: Run) -> str:
        return (await run.call(call("on"))).output

    outcome, events = await perform(act, Echo(), llmos_post_tool_use=observer)
    assert outcome.output == "on"
    notices = [event.text for event in events if event.type == "notice"]
    assert notices == ["An observer of parts failed (ValueError: bad observer)."]


async def test_unknown_tools_and_wrong_inputs_never_run() -> None:
    echo = Echo()

    async def act(run: Run) -> str:
        results = [
            await run.call(ToolCall(id="1", tool="Nope", input={})),
            await run.call(ToolCall(id="2", tool="Echo", input={"text": "x", "more": 1})),
            await run.call(ToolCall(id="3", tool="Echo", input={})),
        ]
        assert all(result.is_error for result in results)
        return " | ".join(result.output for result in results)

    outcome, events = await perform(act, echo)
    assert echo.ran == []
    assert "no tool named Nope (there are: Echo)" in outcome.output
    assert "more: Extra inputs are not permitted" in outcome.output
    assert kinds(events) == ["tool_denied"] * 3


@pytest.mark.parametrize("error", [OSError("disk on fire"), asyncio.CancelledError("disk on fire")], ids=type)
async def test_a_tool_that_raises_gives_an_error_result_and_is_reported(error: BaseException) -> None:
    def explode() -> None:
        raise error

    async def act(run: Run) -> str:
        result = await run.call(call())
        assert result.is_error
        return result.output

    outcome, events = await perform(act, Echo(before=explode))
    assert outcome.output == f"The tool Echo failed: {type(error).__name__}: disk on fire"
    assert kinds(events) == ["tool_started", "tool_output"]
    assert any(event.type == "notice" and "disk on fire" in event.text for event in events)


async def test_an_external_effect_is_on_disk_as_started_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def sync(self: Any) -> None:
        order.append("synced")

    monkeypatch.setattr("llmos_core.kernel.journal.MemoryJournal.sync", sync)

    async def act(run: Run) -> None:
        await run.call(call())

    for effect in ("pure", "workspace", "external"):
        await perform(act, Echo(effect, before=lambda: order.append("ran")))
    assert order == ["ran", "ran", "synced", "ran"]


async def test_a_tool_that_cannot_say_its_effect_counts_as_external() -> None:
    class Unsure(Echo):
        def effect(self, input: Any) -> Any:
            raise RuntimeError

    async def act(run: Run) -> None:
        await run.call(call())

    _, events = await perform(act, Unsure())
    assert next(event for event in events if event.type == "tool_started").effect == "external"


def test_no_other_code_runs_a_tool() -> None:
    """The one place in the sources that calls a tool's ``run`` is the gate."""
    from pathlib import Path

    sources = Path(gate.__file__).parents[1]
    callers = [path.name for path in sources.rglob("*.py") if "tool.run(" in path.read_text("utf-8")]
    assert callers == ["gate.py"]


async def test_each_agent_has_a_state_of_its_own() -> None:
    class Counter(Echo):
        async def run(self, input: Any, run: Run) -> ToolResult:
            run.state["count"] = run.state.get("count", 0) + 1
            return ToolResult(output=str(run.state["count"]))

    async def act(run: Run) -> str:
        agents = [None, "a", "a", "b", None]
        calls = [ToolCall(id=str(n), tool="Echo", input={"text": ""}, agent_id=agent) for n, agent in enumerate(agents)]
        return " ".join([(await run.call(call)).output for call in calls])

    outcome, _ = await perform(act, Counter())
    assert outcome.output == "1 1 2 1 2"


async def test_a_guard_can_change_nothing() -> None:
    async def meddling(call: ToolCall) -> None:
        call.input["text"] = "changed"

    async def act(run: Run) -> str:
        return (await run.call(call("as it was"))).output

    outcome, events = await perform(act, Echo(), llmos_pre_tool_use=meddling)
    assert outcome.output == "as it was"
    assert next(event for event in events if event.type == "tool_started").call.input == {"text": "as it was"}


async def test_two_calls_under_way_never_share_an_id() -> None:
    class Slow(Echo):
        async def run(self, input: Any, run: Run) -> ToolResult:
            await anyio.sleep(0.05)
            return ToolResult(output="done")

    async def act(run: Run) -> str:
        outputs: list[str] = []

        async def one() -> None:
            outputs.append((await run.call(call(id="same"))).output)

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        await one()
        return " | ".join(outputs)

    outcome, events = await perform(act, Slow())
    assert outcome.output == "Echo was refused: a call with the id same is under way | done | done"
    assert kinds(events) == ["tool_started", "tool_denied", "tool_output", "tool_started", "tool_output"]


async def test_what_is_no_text_never_breaks_the_door() -> None:
    class Odd(Echo):
        async def run(self, input: Any, run: Run) -> ToolResult:
            return ToolResult.model_construct(output="a\udcffb", is_error=False, exit_code=None, data={})

    async def act(run: Run) -> str:
        wrong = ToolCall.model_construct(id="1", tool="Echo", input={"text": "\udcff"}, agent_id=None)
        refused, odd = await run.call(wrong), await run.call(call(id="2"))
        return f"{refused.output} / {odd.output}"

    outcome, _ = await perform(act, Odd())
    assert outcome.success, outcome.error
    assert "a?b" in outcome.output

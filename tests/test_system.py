"""A goal from the front door to its outcome, in memory."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from llmos_core import (
    LLMOS,
    Bid,
    DeniedError,
    Event,
    LlmOutput,
    Outcome,
    Result,
    Run,
    Task,
    UsageError,
)
from tests.parts import Echo, Model, Parts, Script, call


def system_of(*strategies: Any, **parts: Any) -> LLMOS:
    return LLMOS.in_memory({"parts": Parts(strategies=strategies, **parts)})


def saying(text: str, **bid: Any) -> Script:
    async def act(run: Run) -> str:
        return text

    return Script(act, name=text, **bid)


async def test_the_cheapest_that_is_fit_enough_runs() -> None:
    async with system_of(saying("DEAR", cost=1), saying("CHEAP", cost=0.5), saying("UNFIT", fit=0.9)) as system:
        assert (await system.execute("go")).mode == "CHEAP"


async def test_if_none_is_fit_enough_the_fittest_runs_and_says_so() -> None:
    async with system_of(saying("ONE", fit=0.4), saying("TWO", fit=0.6), saying("NO", fit=0)) as system:
        auction = await system.explain(Task(goal="go"))
        assert auction.mode == "TWO"
        assert "not above 0.9" in auction.reason


async def test_what_cannot_be_beaten_ends_the_auction() -> None:
    async with system_of(saying("A_FREE"), saying("B_FREE"), saying("C_DEAR", cost=1)) as system:
        assert [offer.strategy for offer in (await system.explain(Task(goal="go"))).offers] == [
            "A_FREE",
            "B_FREE",
            "C_DEAR",
        ]
        with system.events() as events:
            await system.execute("go")
            chosen: Any = [events.receive_nowait() for _ in range(2)][1]
    assert [offer.strategy for offer in chosen.bids] == ["A_FREE"]


async def test_a_mode_names_a_strategy_outright() -> None:
    async with system_of(saying("DEAR", cost=1), saying("CHEAP")) as system:
        assert (await system.execute("go", mode="dear")).mode == "DEAR"
        with pytest.raises(UsageError, match="There is no mode fast") as caught:
            await system.execute("go", mode="fast")
        assert caught.value.why == "The modes are: auto, cheap, dear."


async def test_where_no_strategy_can_act_the_learners_word_counts() -> None:
    class Unable(Script):
        async def bid(self, task: Task, run: Run) -> Bid:
            return Bid.cannot(UsageError(f"{self.name} cannot."))

    learner = Unable(call, name="Z_LEARNER")
    learner.learns = True
    async with system_of(Unable(call, name="A_FOLLOWER"), learner) as system:
        outcome = await system.execute("go")
    assert outcome.exit_code == 2
    assert outcome.error
    assert outcome.error.what == "Z_LEARNER cannot."


async def test_without_any_strategy() -> None:
    async with LLMOS.in_memory() as system:
        outcome = await system.execute("go")
    assert outcome.error
    assert "No strategy is installed" in outcome.error.what


async def test_a_strategy_that_fails_to_bid_loses() -> None:
    class Broken(Script):
        async def bid(self, task: Task, run: Run) -> Bid:
            raise RuntimeError("no bid")

    async with system_of(Broken(call, name="BROKEN"), saying("FINE", cost=9)) as system:
        outcome = await system.execute("go")
        assert outcome.mode == "FINE"
        offers = {offer.strategy: offer.fit for offer in (await system.explain(Task(goal="go"))).offers}
    assert offers == {"BROKEN": 0.0, "FINE": 1.0}


async def test_a_strategy_that_raises_fails_the_run() -> None:
    async def wrong(run: Run) -> str:
        raise KeyError("oops")

    async def refused(run: Run) -> str:
        raise DeniedError("Refused.")

    async with system_of(Script(wrong)) as system:
        outcome = await system.execute("go")
    assert not outcome.success
    assert outcome.error
    assert "failed by its own fault" in outcome.error.what
    assert outcome.exit_code == 1
    async with system_of(Script(refused)) as system:
        assert (await system.execute("go")).exit_code == 4


async def test_a_deadline_ends_the_run() -> None:
    async def slow(run: Run) -> str:
        await anyio.sleep_forever()
        return ""

    async with system_of(Script(slow)) as system:
        outcome = await system.execute("go", timeout_s=0.05)
    assert outcome.exit_code == 124
    assert outcome.error
    assert outcome.error.why == "It was given 0.05 s."


async def test_a_timeout_of_its_own_is_no_deadline() -> None:
    async def act(run: Run) -> str:
        raise TimeoutError("mine")

    async with system_of(Script(act)) as system:
        assert (await system.execute("go")).exit_code == 1


async def test_a_cancelled_run_still_ends_in_its_journal() -> None:
    async def slow(run: Run) -> str:
        await anyio.sleep_forever()
        return ""

    seen: list[Event] = []
    async with system_of(Script(slow)) as system:
        with system.events() as events:
            with anyio.move_on_after(0.05):
                await system.execute("go")
            while events.statistics().current_buffer_used:
                seen.append(events.receive_nowait())
    last: Any = seen[-1]
    assert last.type == "outcome"
    assert last.outcome.exit_code == 130


async def test_every_event_reaches_observers_in_order() -> None:
    seen: list[str] = []

    async def watch(event: Event) -> None:
        seen.append(event.type)  # type: ignore[attr-defined]

    async def act(run: Run) -> str:
        run.emit(LlmOutput(text="thinking"))
        await run.call(call())
        return "done"

    async with system_of(Script(act), tools=[Echo()], llmos_event=watch) as system:
        await system.execute("go")
    assert seen == ["user_input", "mode_chosen", "llm_output", "tool_started", "tool_output", "outcome"]


async def test_an_observer_of_events_that_fails_is_told_once() -> None:
    async def watch(event: Event) -> None:
        raise ValueError("no")

    async def act(run: Run) -> str:
        await anyio.sleep(0.01)
        return "done"

    texts = []
    async with system_of(Script(act), llmos_event=watch) as system:
        with system.events() as events:
            assert (await system.execute("go")).success
            await system.execute("go")
            while events.statistics().current_buffer_used:
                event: Any = events.receive_nowait()
                if event.type == "notice":
                    texts.append(event.text)
    assert texts == ["An observer of parts failed (ValueError: no)."]


async def test_prompts_and_outcomes_pass_their_chains() -> None:
    async def remember(prompt: str, run: Run) -> str:
        return f"{prompt} (and remember)"

    async def wrong(prompt: str, run: Run) -> Any:
        return 3

    async def finish(outcome: Outcome, run: Run) -> Outcome:
        return outcome.model_copy(update={"trace_id": "t"})

    async def act(run: Run) -> str:
        return await run.submit_prompt(run.task.goal)

    plugins = {
        "parts": Parts(strategies=[Script(act)], llmos_user_prompt_submit=remember, llmos_stop=finish),
        "wrong": Parts(llmos_user_prompt_submit=wrong),
    }
    async with LLMOS.in_memory(plugins) as system:
        outcome = await system.execute("go")
    assert outcome.output == "go (and remember)"
    assert outcome.trace_id == "t"


async def test_a_sub_task_passes_the_dispatcher_in_a_run_of_its_own() -> None:
    async def outer(run: Run) -> str:
        inner = await run.execute(Task(goal="inner", mode="INNER"))
        assert inner.run_id != run.id
        return f"outer got {inner.output}"

    async with system_of(Script(outer, name="OUTER"), saying("INNER", cost=1)) as system:
        assert (await system.execute("go", mode="OUTER")).output == "outer got INNER"


async def test_the_first_ready_model_answers_and_a_fallback_only_without_others() -> None:
    async def act(run: Run) -> str:
        return run.model.name

    class Spare(Model):
        name = "a-spare"
        fallback = True

    class Unready(Model):
        name = "b-unready"

        def unready(self) -> str | None:
            return "no key"

    async with system_of(Script(act), models=[Spare(), Model(), Unready()]) as system:
        assert (await system.execute("go")).output == "canned"
    async with system_of(Script(act), models=[Spare(), Unready()]) as system:
        assert (await system.execute("go")).output == "a-spare"
    async with system_of(Script(act), models=[Unready()]) as system:
        outcome = await system.execute("go")
    assert outcome.exit_code == 2
    assert outcome.error
    assert outcome.error.why == "b-unready: no key"


async def test_a_result_is_told_as_it_is() -> None:
    async def act(run: Run) -> Result:
        return Result(success=False, output="half", steps=1)

    async with system_of(Script(act)) as system:
        outcome = await system.execute("go")
    assert (outcome.success, outcome.output, outcome.exit_code) == (False, "half", 1)

"""The same goal with other inputs, constraints or variables is another program: its trace is not followed."""

from __future__ import annotations

from typing import Any

import pytest

from llmos_core import LLMOS, Task, UsageError, make_task
from tests.flow.conftest import GOAL, Boot, ScriptedLearner
from tests.flow.test_learn_and_follow import traces

pytestmark = pytest.mark.slow

LEARNED: dict[str, Any] = {
    "inputs": {"region": "EU", "limit": 1, "years": [2024, 2025]},
    "constraints": ("Must be Python", "Max cost $1"),
    "env": {"KEY": "value"},
}


async def refusal(system: LLMOS, **fields: Any) -> str | None:
    """Why the trace would not be followed for this task; None if it would."""
    auction = await system.explain(make_task(GOAL, **fields))
    [candidate] = auction.candidates
    assert (auction.mode == "FOLLOWER") is (candidate.refused is None)
    return candidate.refused


async def test_what_a_task_was_given_is_in_its_trace_and_the_same_is_followed(boot: Boot) -> None:
    async with boot(ScriptedLearner()) as system:
        assert (await system.execute(GOAL, **LEARNED)).followable
        [stored] = await traces(system)
    assert stored.trace
    assert stored.trace.inputs == LEARNED["inputs"]
    assert (stored.trace.constraints, stored.trace.env) == (LEARNED["constraints"], ("KEY",))
    async with boot() as system:
        assert (await system.execute(GOAL, **LEARNED)).mode == "FOLLOWER"
        said_otherwise = [" Max  cost $1.", "Must be Python", "Max cost $1"]
        assert await refusal(system, **{**LEARNED, "constraints": said_otherwise}) is None
        turned = {"years": [2024, 2025], "limit": 1, "region": "EU"}
        assert await refusal(system, **{**LEARNED, "inputs": turned}) is None
        assert await refusal(system, **LEARNED, priority=99, max_cost_usd=3, max_turns=2) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"inputs": {}}, "inputs"),
        ({"inputs": {**LEARNED["inputs"], "region": "US"}}, "inputs"),
        ({"inputs": {**LEARNED["inputs"], "more": None}}, "inputs"),
        ({"inputs": {**LEARNED["inputs"], "limit": True}}, "inputs"),
        ({"inputs": {**LEARNED["inputs"], "limit": 1.0}}, "inputs"),
        ({"inputs": {**LEARNED["inputs"], "limit": "1"}}, "inputs"),
        ({"inputs": {**LEARNED["inputs"], "years": [2025, 2024]}}, "inputs"),
        ({"constraints": ()}, "constraints"),
        ({"constraints": ("Must be Python", "Max cost $2")}, "constraints"),
        ({"constraints": ("Must be Python", "Max cost $1", "No Grep")}, "constraints"),
        ({"env": {}}, "environment variables"),
        ({"env": {"OTHER": "value"}}, "environment variables"),
    ],
)
async def test_with_anything_else_it_is_not_and_explain_says_why(
    boot: Boot, fields: dict[str, Any], reason: str
) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL, **LEARNED)
    async with boot() as system:
        assert reason in (await refusal(system, **{**LEARNED, **fields}) or "")
        outcome = await system.execute(GOAL, **{**LEARNED, **fields})
    assert not outcome.success
    assert outcome.steps == 0
    assert outcome.error
    assert f"other {reason}" in outcome.error.why


async def test_a_goal_learned_with_nothing_is_not_followed_with_something(boot: Boot) -> None:
    async with boot(ScriptedLearner()) as system:
        await system.execute(GOAL)
        assert await refusal(system) is None
        assert "inputs" in (await refusal(system, inputs={"x": 1}) or "")
        assert "constraints" in (await refusal(system, constraints=["No Grep"]) or "")
        assert "variables" in (await refusal(system, env={"X": "1"}) or "")


async def test_relearn_follows_nothing(boot: Boot) -> None:
    learner = ScriptedLearner()
    async with boot(learner) as system:
        await system.execute(GOAL)
        again = await system.execute(GOAL, relearn=True)
        assert (again.mode, learner.runs) == ("LEARNER", 2)
        assert (await system.execute(GOAL)).mode == "FOLLOWER"
        forced = await system.execute(GOAL, mode="follower", relearn=True)
        assert forced.exit_code == 2
        assert forced.error
        assert forced.error.what == "The goal is to be learned anew."


async def test_a_conversation_that_goes_on_is_neither_followed_nor_verified(boot: Boot) -> None:
    learner = ScriptedLearner()
    async with boot(learner) as system:
        first = await system.execute(GOAL)
        second = await system.execute(GOAL, continues="last")
        assert (second.mode, second.followable) == ("LEARNER", False)
        reasons = [stored.refusal for stored in await traces(system) if stored.refusal]
        assert reasons == [f"it goes on with the conversation of run {first.run_id}, which no replay knows"]
        forced = await system.execute(GOAL, mode="follower", continues=first.run_id[-6:])
        assert forced.error
        assert forced.error.what == "A conversation that goes on is nothing to be followed."
        with pytest.raises(UsageError, match="There is no run"):
            await system.execute(GOAL, continues="zzz")
        assert Task(goal=GOAL).continues is None


async def test_a_user_who_found_a_run_bad_is_not_given_it_again(boot: Boot) -> None:
    async with boot(ScriptedLearner()) as system:
        outcome = await system.execute(GOAL)
        assert outcome.trace_id
        assert outcome.trace_version
        said = (outcome.trace_id, outcome.trace_version, outcome.run_id)
        await system.machine.traces.feedback(*said, good=False, text="the greeting is rude")
    async with boot() as system:
        assert await refusal(system) == f"its user found run {outcome.run_id} bad: the greeting is rude"
        assert not (await system.execute(GOAL)).success
        await system.machine.traces.feedback(*said, good=True)
        assert (await system.execute(GOAL)).mode == "FOLLOWER"

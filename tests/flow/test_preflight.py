"""Before the first step of a trace runs, the guards have judged all of them, and people were asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmos_core import Outcome, ToolCall, Verdict
from tests.flow.conftest import GOAL, Boot, ScriptedLearner

pytestmark = pytest.mark.slow


async def learn(boot: Boot, steps: Any = None) -> None:
    learner = ScriptedLearner(steps) if steps else ScriptedLearner()
    async with boot(learner) as system:
        assert (await system.execute(GOAL)).followable
        assert system.workspace is not None
        (system.workspace.root / "projects/default/output/hello.txt").unlink(missing_ok=True)


async def follow(boot: Boot, guard: Any, **hooks: Any) -> tuple[Outcome, list[Any], list[str]]:
    """How a follow ends under a guard, its events, and the files it leaves."""
    events: list[Any] = []
    async with boot(llmos_pre_tool_use=guard, **hooks) as system:
        outcome = await system.execute(GOAL, mode="follower", on_event=events.append)
        assert outcome.directory
        files = sorted(path.name for path in Path(outcome.directory).iterdir())
    return outcome, [event for event in events if event.type.startswith("tool")], files


async def no_shell(call: ToolCall) -> Verdict | None:
    return Verdict.deny("no shell any more", rule="test.shell") if call.tool == "Bash" else None


async def dear_shell(call: ToolCall) -> Verdict | None:
    return Verdict.ask("the shell is dear", rule="test.shell") if call.tool == "Bash" else None


async def test_a_step_that_became_forbidden_stops_the_first(boot: Boot) -> None:
    await learn(boot)
    outcome, events, files = await follow(boot, no_shell)
    assert outcome.exit_code == 4
    assert outcome.error
    assert "step-2 (Bash" in outcome.error.what
    assert "no shell any more (rule test.shell)" in outcome.error.why
    assert outcome.steps == 0
    assert [(event.type, event.call.id) for event in events] == [("tool_denied", "step-2")]
    assert files == []


async def test_what_needs_a_yes_is_asked_about_before_the_first(boot: Boot) -> None:
    await learn(boot)
    outcome, events, files = await follow(boot, dear_shell)
    assert outcome.exit_code == 6
    assert outcome.error
    assert outcome.error.what == "Bash needs approval, and nobody answered."
    assert [(event.type, event.call.id) for event in events] == [("tool_denied", "step-2")]
    assert files == []


async def test_with_a_yes_it_is_followed_and_asked_once(boot: Boot) -> None:
    asked: list[str] = []

    async def approve(call: ToolCall) -> bool:
        asked.append(call.id)
        return True

    await learn(boot)
    outcome, events, files = await follow(boot, dear_shell, llmos_approve=approve)
    assert outcome.success, outcome.error
    assert asked == ["step-2"]
    assert [event.type for event in events] == ["tool_approved", *["tool_started", "tool_output"] * 2]
    assert files == ["hello.txt"]


async def test_with_a_no_nothing_is_changed(boot: Boot) -> None:
    async def refuse(call: ToolCall) -> bool:
        return False

    await learn(boot)
    outcome, _, files = await follow(boot, dear_shell, llmos_approve=refuse)
    assert outcome.exit_code == 4
    assert outcome.error
    assert "not approved: the shell is dear" in outcome.error.why
    assert files == []


async def test_every_step_is_judged_again_when_it_runs(boot: Boot) -> None:
    """What a rule looks at may have changed by then: here the file that the first step wrote."""
    judged: list[str] = []

    async def guard(call: ToolCall) -> Verdict | None:
        judged.append(call.id)
        return Verdict.deny("second thoughts") if judged.count("step-2") == 2 else None

    await learn(boot)
    outcome, _, files = await follow(boot, guard)
    assert judged == ["step-1", "step-2", "step-1", "step-2"]
    assert outcome.exit_code == 4
    assert files == ["hello.txt"]


async def test_arguments_are_judged_as_they_will_be(boot: Boot) -> None:
    """The slots of a trace stand for this run's directory, not for the one it was learned in."""
    seen: list[str] = []

    async def guard(call: ToolCall) -> None:
        seen.append(str(call.input.get("file_path", "")))

    await learn(boot, [("Write", {"file_path": "@workdir/hello.txt", "content": "hello\n"})])
    outcome, _, _ = await follow(boot, guard)
    assert outcome.success, outcome.error
    assert seen == [f"{outcome.directory}/hello.txt"] * 2


@pytest.mark.parametrize("fault", [RuntimeError("broken"), "allow", None])
async def test_a_guard_that_fails_refuses_the_whole_trace(boot: Boot, fault: Any) -> None:
    async def guard(call: ToolCall) -> Any:
        if call.tool != "Bash":
            return None
        if isinstance(fault, Exception):
            raise fault
        return fault or ["no", "verdict"]

    await learn(boot)
    outcome, _, files = await follow(boot, guard)
    assert outcome.exit_code == 4
    assert files == []


async def test_a_learned_call_that_was_approved_is_verified_without_asking_again(boot: Boot) -> None:
    asked: list[str] = []

    async def approve(call: ToolCall) -> bool:
        asked.append(call.id)
        return True

    async with boot(ScriptedLearner(), llmos_pre_tool_use=dear_shell, llmos_approve=approve) as system:
        outcome = await system.execute(GOAL)
    assert outcome.followable
    assert asked == ["call-2"]

"""Calls that something else executes: the same door, in two halves; and runs that may only plan."""

from __future__ import annotations

from typing import Any

import pytest

from llmos_core import Outcome, Run, ToolCall, ToolResult, Verdict
from tests.kernel.test_tool_door import kinds, perform
from tests.parts import Echo, Script, call

WEB = ToolCall(id="n1", tool="WebSearch", input={"query": "weather"}, agent_id="agent-1")
DONE = ToolResult(output="sunny")


async def test_a_native_call_is_judged_told_and_observed() -> None:
    order: list[str] = []

    async def guard(call: ToolCall, run: Run) -> None:
        order.append(f"guard {call.tool}")

    async def observer(call: ToolCall, result: ToolResult, run: Run) -> None:
        order.append(f"saw {call.id}: {result.output}")

    async def act(run: Run) -> str:
        verdict = await run.begin(WEB)
        order.append("executed")
        await run.end(WEB.id, DONE)
        return verdict.decision

    outcome, events = await perform(act, llmos_pre_tool_use=guard, llmos_post_tool_use=observer)
    assert outcome.output == "allow"
    assert outcome.steps == 1
    assert order == ["guard WebSearch", "executed", "saw n1: sunny"]
    started, ended = [event for event in events if event.type.startswith("tool")]
    assert (started.type, started.call, started.native, started.effect) == ("tool_started", WEB, True, "external")
    assert (ended.type, ended.call_id, ended.tool, ended.result) == ("tool_output", "n1", "WebSearch", DONE)
    assert ended.duration_s >= 0


async def test_that_it_starts_is_on_disk_before_it_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def sync(self: Any) -> None:
        order.append("synced")

    monkeypatch.setattr("llmos_core.kernel.journal.MemoryJournal.sync", sync)

    async def act(run: Run) -> None:
        await run.begin(WEB)
        order.append("begun")

    await perform(act)
    assert order == ["synced", "begun"]


async def deny(call: ToolCall, run: Run) -> Verdict:
    return Verdict.deny("not today", rule="mine")


async def ask_first(call: ToolCall, run: Run) -> Verdict:
    return Verdict.ask("may I?")


async def broken(call: ToolCall, run: Run) -> Verdict:
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("guard", "decision", "reason"),
    [(deny, "deny", "not today"), (ask_first, "ask", "may I?"), (broken, "deny", "broken")],
)
async def test_what_is_refused_is_not_begun(guard: Any, decision: str, reason: str) -> None:
    async def act(run: Run) -> str:
        verdict = await run.begin(WEB)
        assert verdict.decision == decision
        assert reason in verdict.reason
        await run.end(WEB.id, DONE)
        return "ended"

    outcome, events = await perform(act, llmos_pre_tool_use=guard)
    assert kinds(events) == ["tool_denied"]
    assert outcome.error
    whats = {"deny": "No call with the id n1 was begun.", "ask": "WebSearch needs approval, and nobody answered."}
    assert outcome.error.what == whats[decision]


async def test_a_call_ends_once_and_an_id_is_used_by_one_at_a_time() -> None:
    async def act(run: Run) -> str:
        assert (await run.begin(WEB)).decision == "allow"
        second = await run.begin(WEB)
        assert (second.decision, second.rule) == ("deny", "repeated-id")
        await run.end(WEB.id, DONE)
        assert (await run.begin(WEB)).decision == "allow"
        await run.end(WEB.id, DONE)
        await run.end(WEB.id, DONE)
        return ""

    outcome, events = await perform(act)
    assert outcome.error
    assert "was begun" in outcome.error.what
    assert kinds(events) == ["tool_started", "tool_denied", "tool_output", "tool_started", "tool_output"]


async def with_task(act: Any, *tools: Any, **fields: Any) -> tuple[Outcome, list[Any]]:
    from llmos_core import LLMOS
    from tests.parts import Parts

    seen: list[Any] = []
    async with LLMOS.in_memory({"parts": Parts(tools=tools, strategies=[Script(act)])}) as system:
        return await system.execute("go", on_event=seen.append, **fields), seen


@pytest.mark.parametrize("constraint", ["Only tools: Echo", "No tools"])
async def test_constraints_hold_for_native_calls(constraint: str) -> None:
    async def act(run: Run) -> str:
        return (await run.begin(WEB)).rule

    outcome, events = await with_task(act, Echo(), constraints=[constraint])
    assert outcome.output == "constraint"
    assert kinds(events) == ["tool_denied"]


async def test_a_sub_agent_reaches_the_same_door() -> None:
    class Delegating(Echo):
        async def run(self, input: Any, run: Run) -> ToolResult:
            await run.begin(WEB)
            await run.end(WEB.id, DONE)
            return ToolResult(output="done")

    async def act(run: Run) -> str:
        return (await run.call(ToolCall(id="1", tool="Echo", input={"text": ""}, agent_id="agent-1"))).output

    _, events = await perform(act, Delegating())
    assert kinds(events) == ["tool_started", "tool_started", "tool_output", "tool_output"]


@pytest.mark.parametrize(("effect", "runs"), [("pure", True), ("workspace", False), ("external", False)])
async def test_a_run_that_may_only_plan_changes_nothing(effect: Any, runs: bool) -> None:
    echo = Echo(effect)

    async def act(run: Run) -> str:
        return (await run.call(call())).output

    outcome, events = await with_task(act, echo, permission_mode="plan")
    assert echo.ran == (["hello"] if runs else [])
    assert kinds(events) == (["tool_started", "tool_output"] if runs else ["tool_denied"])
    assert outcome.output == ("hello" if runs else "Echo was refused: the run may plan only, and change nothing")


async def test_what_cannot_say_its_effect_is_not_run_while_planning() -> None:
    class Unsure(Echo):
        def effect(self, input: Any) -> Any:
            raise RuntimeError

    async def act(run: Run) -> str:
        return (await run.call(call())).output

    echo = Unsure()
    await with_task(act, echo, permission_mode="plan")
    assert echo.ran == []


@pytest.mark.parametrize("mode", [None, "default", "acceptEdits", "dontAsk", "bypassPermissions"])
async def test_other_modes_bind_native_tools_only(mode: str | None) -> None:
    async def act(run: Run) -> str:
        return (await run.call(call())).output

    outcome, _ = await with_task(act, Echo("external"), permission_mode=mode)
    assert outcome.output == "hello"

"""The bridge without the CLI: what is announced, what is refused, what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp.types import CallToolRequestParams, CallToolResult

from llmos_core import AgentSpec, ToolCall, ToolDenied, ToolResult, Verdict
from llmos_plugin_claude.sdk.bridge import Bridge
from llmos_plugin_claude.settings import ClaudeSettings

from .fakes import Echo, FakeRun

HELPER = AgentSpec(name="helper", description="Helps.", system_prompt="You help.")
DELEGATION = {"description": "d", "prompt": "p", "subagent_type": "helper"}


async def announce(bridge: Bridge, name: str, use: str, agent_id: str | None = None, **input: Any) -> str | None:
    """Announce a call as the CLI does; gives the reason of a refusal."""
    event = {"hook_event_name": "PreToolUse", "tool_name": name, "tool_input": input, "tool_use_id": use}
    [matcher] = bridge.hooks()["PreToolUse"]
    [hook] = matcher.hooks
    answer: Any = await hook(event | ({"agent_id": agent_id} if agent_id else {}), use, {"signal": None})
    if answer == {}:
        return None
    decision = answer["hookSpecificOutput"]
    assert (decision["hookEventName"], decision["permissionDecision"]) == ("PreToolUse", "deny")
    return str(decision["permissionDecisionReason"])


async def call(bridge: Bridge, name: str, use: str | None, **input: Any) -> CallToolResult:
    params = CallToolRequestParams.model_validate(
        {"name": name, "arguments": input, "_meta": {"claudecode/toolUseId": use} if use else None}
    )
    entry = bridge.server()["instance"].get_request_handler("tools/call")
    assert entry is not None
    result = await entry.handler(None, params)
    assert isinstance(result, CallToolResult)
    return result


def make(run: FakeRun) -> tuple[Bridge, list[Exception]]:
    faults: list[Exception] = []
    return Bridge(run, faults.append), faults


async def test_calls_carry_the_agent_that_announced_them(workdir: Path) -> None:
    run = FakeRun(workdir)
    bridge, faults = make(run)
    assert await announce(bridge, "mcp__llmos__Echo", "use-1", "agent-1", text="same") is None
    assert await announce(bridge, "mcp__llmos__Echo", "use-2", None, text="same") is None
    assert await announce(bridge, "mcp__llmos__Echo", "use-3", "agent-3", text="same") is None
    for use in ("use-3", "use-1", "use-2"):
        await call(bridge, "Echo", use, text=use)
    assert [(made.tool, made.input, made.agent_id) for made in run.calls] == [
        ("Echo", {"text": "use-3"}, "agent-3"),
        ("Echo", {"text": "use-1"}, "agent-1"),
        ("Echo", {"text": "use-2"}, None),
    ]
    assert len({made.id for made in run.calls}) == 3
    assert faults == []


@pytest.mark.parametrize("use", [None, "use-9"])
async def test_an_unannounced_call_is_not_made_and_ends_the_run(workdir: Path, use: str | None) -> None:
    run = FakeRun(workdir)
    bridge, faults = make(run)
    await announce(bridge, "mcp__llmos__Echo", "use-1", text="x")
    result = await call(bridge, "Echo", use, text="x")
    assert result.is_error
    assert run.calls == []
    assert [str(fault).split("\n")[0] for fault in faults] == ["A tool call came unannounced."]


async def test_an_announcement_serves_one_call(workdir: Path) -> None:
    run = FakeRun(workdir)
    bridge, faults = make(run)
    await announce(bridge, "mcp__llmos__Echo", "use-1", text="x")
    assert not (await call(bridge, "Echo", "use-1", text="x")).is_error
    assert (await call(bridge, "Echo", "use-1", text="x")).is_error
    assert (len(run.calls), len(faults)) == (1, 1)


@pytest.mark.parametrize("is_error", [False, True])
async def test_the_model_sees_the_result_as_it_is(workdir: Path, is_error: bool) -> None:
    async def act(text: str) -> ToolResult:
        return ToolResult(output=f"<{text}>\n", is_error=is_error, exit_code=3, data={"hidden": 1})

    run = FakeRun(workdir, echo=Echo(act))
    bridge, faults = make(run)
    await announce(bridge, "mcp__llmos__Echo", "use-1", text="x")
    result = await call(bridge, "Echo", "use-1", text="x")
    assert [(block.type, block.text) for block in result.content] == [("text", "<x>\n")]
    assert result.is_error is is_error
    assert faults == []


async def test_a_door_that_raises_ends_the_run(workdir: Path) -> None:
    run = FakeRun(workdir)
    run.call_fault = OSError("disk full")
    bridge, faults = make(run)
    await announce(bridge, "mcp__llmos__Echo", "use-1", text="x")
    result = await call(bridge, "Echo", "use-1", text="x")
    assert result.is_error
    assert faults == [run.call_fault]


async def test_a_delegation_is_judged_by_the_guards(workdir: Path) -> None:
    run = FakeRun(workdir, agents={"helper": HELPER})
    bridge, _ = make(run)
    assert await announce(bridge, "Agent", "use-1", **DELEGATION) is None
    assert [(judged.tool, judged.input, judged.agent_id) for judged in run.judged] == [("Agent", DELEGATION, None)]
    assert run.events == []
    run.verdict = Verdict.deny("too dear", "rule-1")
    assert await announce(bridge, "Agent", "use-2", **DELEGATION) == "too dear"
    [denied] = run.of(ToolDenied)
    assert (denied.call.input, denied.verdict) == (DELEGATION, run.verdict)
    run.verdict = Verdict.ask("sure?")
    assert await announce(bridge, "Agent", "use-3", **DELEGATION) == "needs approval: sure?"


@pytest.mark.parametrize(
    ("name", "agent_id", "input", "rule"),
    [
        ("Bash", None, {"command": "id"}, "unknown-tool"),
        ("mcp__other__Echo", None, {}, "unknown-tool"),
        ("Agent", "agent-1", DELEGATION, "nested-agent"),
        ("Agent", None, {"description": "d", "prompt": "p"}, "no-agent"),
        ("Agent", None, {**DELEGATION, "subagent_type": "fork"}, "no-agent"),
        ("Agent", None, {**DELEGATION, "isolation": "worktree"}, "agent-isolation"),
    ],
)
async def test_what_the_cli_would_do_by_itself_is_refused(
    workdir: Path, name: str, agent_id: str | None, input: dict[str, Any], rule: str
) -> None:
    run = FakeRun(workdir, agents={"helper": HELPER})
    bridge, _ = make(run)
    assert await announce(bridge, name, "use-1", agent_id, **input)
    assert [event.verdict.rule for event in run.of(ToolDenied)] == [rule]
    assert run.judged == []
    assert run.calls == []


NATIVE = ClaudeSettings.model_validate({"native_tools": ["WebSearch"], "mcp_servers": {"x": {"command": "x"}}})


async def tell(bridge: Bridge, event: str, **fields: Any) -> Any:
    """Tell our hook of an event."""
    [matcher] = bridge.hooks()[event]  # type: ignore[index]
    [hook] = matcher.hooks
    return await hook({"hook_event_name": event, **fields}, None, {"signal": None})  # type: ignore[arg-type]


async def test_a_native_call_passes_in_two_halves(workdir: Path) -> None:
    run = FakeRun(workdir, settings=NATIVE)
    bridge, faults = make(run)
    for number, name in enumerate(("WebSearch", "mcp__x__y", "mcp__x__z")):
        assert await announce(bridge, name, f"use-{number}", "agent-1", query=name) is None
    assert [(call.tool, call.input, call.agent_id) for call in run.calls] == [
        (name, {"query": name}, "agent-1") for name in ("WebSearch", "mcp__x__y", "mcp__x__z")
    ]
    for use in ("use-1", "use-0", "of-the-kernel"):
        assert await tell(bridge, "PostToolUse", tool_use_id=use, tool_response={}) == {}
    blocks = [{"type": "text", "text": "a"}, {"type": "image", "data": "b"}]
    answers = [("use-0", "words"), ("use-1", blocks), ("use-2", None), ("of-the-kernel", "x")]
    calls = [{"tool_use_id": use, "tool_response": response} for use, response in answers]
    await tell(bridge, "PostToolBatch", tool_calls=calls)
    await tell(bridge, "PostToolBatch", tool_calls=calls)
    ids = [call.id for call in run.calls]
    assert run.ended == {
        ids[0]: ToolResult(output="words"),
        ids[1]: ToolResult(output='a\n{"type": "image", "data": "b"}'),
        ids[2]: ToolResult(output="null", is_error=True),
    }
    assert (faults, run.events) == ([], [])


async def test_a_native_call_that_is_refused_never_ends(workdir: Path) -> None:
    run = FakeRun(workdir, settings=NATIVE)
    bridge, _ = make(run)
    run.verdict = Verdict.ask("sure?")
    assert await announce(bridge, "WebSearch", "use-1", query="x") == "needs approval: sure?"
    await tell(bridge, "PostToolBatch", tool_calls=[{"tool_use_id": "use-1", "tool_response": "x"}])
    assert run.ended == {}


@pytest.mark.parametrize("name", ["WebFetch", "mcp__xx__y", "mcp__x", "mcp__y__x"])
async def test_a_native_tool_that_is_not_switched_on_is_refused(workdir: Path, name: str) -> None:
    run = FakeRun(workdir, settings=NATIVE)
    bridge, _ = make(run)
    assert await announce(bridge, name, "use-1")
    assert run.calls == []


async def test_a_gate_that_raises_lets_nothing_pass_and_ends_the_run(workdir: Path) -> None:
    class Broken(FakeRun):
        async def begin(self, call: ToolCall) -> Verdict:
            raise OSError("disk full")

    bridge, faults = make(Broken(workdir, settings=NATIVE))
    with pytest.raises(OSError, match="disk full"):
        await announce(bridge, "WebSearch", "use-1")
    assert [str(fault) for fault in faults] == ["disk full"]

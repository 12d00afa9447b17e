"""Tools that the CLI executes itself, sub-agents, and what the user brings: all through the real SDK and CLI."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from llmos_core import (
    AgentFinished,
    AgentSpec,
    AgentStarted,
    AnyEvent,
    ExitCode,
    LlmDelta,
    ModelUsed,
    Run,
    ToolCall,
    ToolDenied,
    ToolOutput,
    ToolStarted,
    Verdict,
    hookimpl,
)
from llmos_plugin_claude import LLMOSSDKClient
from llmos_plugin_claude.settings import NativeTool
from llmos_testkit import Received, api_error, scripted, text, turns, use
from llmos_testkit.messages import Answer, Block

from .house import KEY, MODEL, house, run_in

pytestmark = pytest.mark.cli

SKILL = "---\nname: {name}\ndescription: {name} things.\n---\nThe body of {name}.\n"
SERVER = """
from mcp.server import MCPServer
server = MCPServer("x")
@server.tool()
def shout(words: str) -> str:
    import os
    return words.upper() + os.environ["MARK"]
server.run("stdio")
"""


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "scripted")


def native(name: str, **input: Any) -> Block:
    return {"type": "tool_use", "name": name, "input": input}


def of(events: list[AnyEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def told(received: Received) -> dict[str, Any]:
    """What the model is told of its calls: by id, the text and whether it is an error."""
    return {block["tool_use_id"]: (block["content"], bool(block.get("is_error"))) for block in received.results()}


class Guard:
    """Forbids what is told; sees every call."""

    def __init__(self, forbidden: str = "") -> None:
        self._forbidden = forbidden
        self.seen: list[ToolCall] = []

    @hookimpl
    def llmos_pre_tool_use(self, call: ToolCall, run: Run) -> Verdict | None:
        self.seen.append(call)
        return Verdict.deny("not this", rule="house") if self._forbidden in json.dumps(call.input) else None


async def test_native_calls_pass_the_gate_and_become_experience(tmp_path: Path) -> None:
    script = turns(
        [native("TaskCreate", subject="s", description="d"), native("Read", file_path="no-such-file")],
        [native("Write", file_path="b.txt", content="x"), native("Write", file_path="secret.txt", content="x")],
        [text("Done.")],
    )
    guard = Guard("secret.txt")
    claude = {"native_tools": ["TaskCreate", "Read", "Write"], "permission_mode": "acceptEdits"}
    async with house(tmp_path, scripted(script), claude=claude, hooks=guard) as (system, upstream):
        outcome, events = await run_in(system)
    assert outcome.success, outcome.error
    started, ended, denied = of(events, ToolStarted), of(events, ToolOutput), of(events, ToolDenied)
    assert [(event.call.tool, event.native, event.effect) for event in started] == [
        ("TaskCreate", True, "external"),
        ("Read", True, "external"),
        ("Write", True, "external"),
    ]
    results = {event.call_id: event.result for event in ended}
    outputs = [(results[event.call.id].output, results[event.call.id].is_error) for event in started]
    model_saw = [list(told(received).values()) for received in upstream.requests if received.results()]
    assert outputs == [*model_saw[0], model_saw[1][0]]
    assert [is_error for _, is_error in outputs] == [False, True, False]
    assert [event.verdict.reason for event in denied] == ["not this"]
    assert "not this" in model_saw[1][1][0]
    assert len(guard.seen) == 4
    directory = Path(outcome.directory or "")
    assert (directory / "b.txt").read_text() == "x"
    assert not (directory / "secret.txt").exists()
    assert (outcome.steps, outcome.followable) == (3, False)
    stored = [version async for version in system.machine.traces.scan()]
    assert [step.tool for step in stored[0].trace.steps] == ["TaskCreate", "Read", "Write"]
    assert "TaskCreate" in str(stored[0].trace.unverified_reason)


async def test_the_cli_has_every_tool_that_can_be_switched_on(tmp_path: Path) -> None:
    names = get_args(NativeTool)
    async with house(tmp_path, scripted(turns([text("Done.")])), claude={"native_tools": names}) as (system, upstream):
        await run_in(system)
    [request] = [received for received in upstream.requests if received.method == "POST"]
    offered = {tool["name"] for tool in request.message["tools"]}
    assert {name for name in offered if not name.startswith("mcp__llmos__")} == set(names)


async def test_what_the_cli_does_not_permit_is_told_as_an_error(tmp_path: Path) -> None:
    script = turns([native("Write", file_path="b.txt", content="x")], [text("Done.")])
    async with house(tmp_path, scripted(script), claude={"native_tools": ["Write"]}) as (system, _):
        outcome, events = await run_in(system)
    [ended] = of(events, ToolOutput)
    assert ended.result.is_error
    assert "haven't granted it" in ended.result.output
    assert not (Path(outcome.directory or "") / "b.txt").exists()


@pytest.mark.parametrize(
    ("fields", "rule"),
    [({"constraints": ("No Write",)}, "constraint"), ({"permission_mode": "plan"}, "plan")],
)
async def test_a_task_can_forbid_a_native_tool(tmp_path: Path, fields: dict[str, Any], rule: str) -> None:
    script = turns([native("Write", file_path="b.txt", content="x"), use("Glob", pattern="*")], [text("Done.")])
    claude = {"native_tools": ["Write"], "permission_mode": "acceptEdits"}
    async with house(tmp_path, scripted(script), claude=claude) as (system, _):
        outcome, events = await run_in(system, **fields)
    assert outcome.success
    assert [(event.call.tool, event.verdict.rule) for event in of(events, ToolDenied)] == [("Write", rule)]
    assert [(event.tool, event.result.is_error) for event in of(events, ToolOutput)] == [("Glob", False)]
    assert not (Path(outcome.directory or "") / "b.txt").exists()


async def test_constraints_hold_for_tools_that_only_the_cli_has(tmp_path: Path) -> None:
    script = turns([native("TaskCreate", subject="s", description="d")], [text("Done.")])
    async with house(tmp_path, scripted(script), claude={"native_tools": ["TaskCreate"]}) as (system, _):
        _, events = await run_in(system, constraints=("No TaskCreate",))
    assert [event.verdict.rule for event in of(events, ToolDenied)] == ["constraint"]
    assert of(events, ToolStarted) == []


async def test_a_call_that_never_ends_holds_nothing_up(tmp_path: Path) -> None:
    script = turns([native("Bash", command="echo $$ > pid; while true; do sleep 0.1; done")], [text("Done.")])
    claude = {"native_tools": ["Bash"], "permission_mode": "bypassPermissions"}
    async with house(tmp_path, scripted(script), claude=claude) as (system, _):
        outcome, events = await run_in(system, timeout_s=4)
    assert outcome.exit_code == ExitCode.TIMEOUT
    assert ([event.call.tool for event in of(events, ToolStarted)], of(events, ToolOutput)) == (["Bash"], [])
    pid = (Path(outcome.directory or "") / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()


async def test_the_gate_holds_where_permissions_are_bypassed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    script = turns(
        [native("Bash", command=f"echo $MINE > {outside}"), native("Bash", command="echo forbidden > gone.txt")],
        [native("Glob", pattern="*"), use("Bash", command="echo forbidden > gone.txt")],
        [text("Done.")],
    )
    claude = {"native_tools": ["Bash"], "permission_mode": "bypassPermissions"}
    async with house(tmp_path / "w", scripted(script), claude=claude, hooks=Guard("forbidden")) as (system, _):
        outcome, events = await run_in(system, env={"MINE": "mine"})
    assert outcome.success, outcome.error
    assert outside.read_text() == "mine\n"
    # A tool that is not switched on is not there; the CLI itself says so.
    assert [event.call.input for event in of(events, ToolDenied)] == [{"command": "echo forbidden > gone.txt"}] * 2
    assert [event.call.tool for event in of(events, ToolStarted)] == ["Bash"]
    assert not (Path(outcome.directory or "") / "gone.txt").exists()


@pytest.mark.parametrize("name", ["ANTHROPIC_BASE_URL", "https_proxy", "HOME", "CLAUDE_CONFIG_DIR", "LD_PRELOAD"])
async def test_a_variable_that_would_turn_the_cli_is_refused(tmp_path: Path, name: str) -> None:
    script = turns([text("Done.")])
    async with house(tmp_path, scripted(script), claude={"native_tools": ["Read"]}) as (system, upstream):
        outcome, _ = await run_in(system, env={name: "x"})
    assert outcome.error is not None
    assert (outcome.error.exit_code, name in outcome.error.what) == (2, True)
    assert upstream.requests == []


def delegate(agent: str, prompt: str) -> Block:
    return use("Agent", description="d", prompt=prompt, subagent_type=agent)


async def test_sub_agents_are_told_of_from_beginning_to_end(tmp_path: Path) -> None:
    def script(received: Received) -> Answer:
        if received.agent_id is None:
            both = [delegate("one", "first task"), delegate("one", "second task"), delegate("two", "third task")]
            return [both, [text("Done.")]][received.turn]
        if "third task" in received.body.decode():
            return api_error(400, "invalid_request_error", "no")
        mine = "first" if "first task" in received.body.decode() else "second"
        return [[use("Write", file_path=f"{mine}.txt", content=mine)], [text("ok")]][received.turn]

    agents = [AgentSpec(name=name, description="d", system_prompt="p", tools=("Write",)) for name in ("one", "two")]
    async with house(tmp_path, scripted(script)) as (system, _):
        events: list[AnyEvent] = []
        with system.events() as stream:
            result = await LLMOSSDKClient(system).execute_learner_mode("Delegate.", available_agents=agents)
            while stream.statistics().current_buffer_used:
                events.append(await stream.receive())
    assert result["success"], result
    began, over = of(events, AgentStarted), of(events, AgentFinished)
    assert [(event.name, event.task) for event in began] == [
        ("one", "first task"),
        ("one", "second task"),
        ("two", "third task"),
    ]
    assert sorted((event.agent_id, event.name) for event in over) == sorted((e.agent_id, e.name) for e in began)
    own = result["outcome"].run_id
    by_task = {event.task: event.agent_id for event in began}
    calls = [event for event in of(events, ToolStarted) if event.run_id == own]
    written = {event.call.input["content"]: event.call.agent_id for event in calls}
    assert written == {"first": by_task["first task"], "second": by_task["second task"]}
    assert {event.agent_id for event in of(events, ModelUsed)} == {None, *by_task.values()}
    place = {event.agent_id: event.seq for event in began}
    assert all(event.seq > place[event.call.agent_id] for event in calls)


async def test_a_call_brings_hooks_that_cannot_loosen_ours(tmp_path: Path) -> None:
    seen: list[str] = []

    async def allow(event: Any, tool_use_id: str | None, context: Any) -> Any:
        seen.append(event["tool_name"])
        answer = {"hookEventName": "PreToolUse", "permissionDecision": "allow"}
        if event["tool_input"].get("content") == "other":
            answer["updatedInput"] = event["tool_input"] | {"content": "rewritten"}
        return {"hookSpecificOutput": answer}

    from claude_agent_sdk import HookMatcher

    script = turns(
        [native("Write", file_path="a.txt", content="forbidden"), native("Write", file_path="b.txt", content="other")],
        [use("Write", file_path="c.txt", content="forbidden"), use("Write", file_path="d.txt", content="other")],
        [text("Done.")],
    )
    claude = {"native_tools": ["Write"], "permission_mode": "acceptEdits"}
    hooks: Any = {"PreToolUse": [HookMatcher(matcher="Write|mcp__llmos__Write", hooks=[allow])]}
    async with house(tmp_path, scripted(script), claude=claude, hooks=Guard("forbidden")) as (system, _):
        client = LLMOSSDKClient(system)
        result = await client.execute_learner_mode("Write.", hooks=hooks)
        assert result["success"], result
        left = {path.name: path.read_text() for path in Path(result["outcome"].directory or "").iterdir()}
        assert left == {"d.txt": "rewritten"}
        assert len(seen) == 4
        await client.execute_learner_mode("Write again.", hooks=hooks, enable_hooks=False, relearn=True)
        assert len(seen) == 4


async def test_the_clients_answer_and_its_stream(tmp_path: Path) -> None:
    pieces: list[str] = []

    async def listen(event: Any) -> None:
        assert isinstance(event, LlmDelta)
        pieces.append(event.content)

    script = turns([use("Write", file_path="a.txt", content="x")], [text("All done.")])
    async with house(tmp_path, scripted(script)) as (system, upstream):
        project = system.create_project("p")
        client = LLMOSSDKClient(system)
        result = await client.execute_learner_mode(
            "Write.", "0" * 16, project, max_cost_usd=9.0, enable_streaming=True, streaming_callback=listen
        )
        assert (result["success"], result["output"], result["error"]) == (True, "All done.", None)
        assert result["cost"] == result["outcome"].cost_usd > 0
        assert result["trace_id"] == result["outcome"].trace_id is not None
        assert (result["outcome"].project, "".join(pieces)) == ("p", "All done.")
        await client.execute_learner_mode("Write.", project="p", streaming_callback=listen, relearn=True)
        upstream.requests.clear()
        poor = await client.execute_learner_mode("Else.", project="p", max_cost_usd=0.000001, streaming_callback=listen)
        assert (poor["success"], poor["outcome"].exit_code, poor["error"]) == (False, 3, poor["outcome"].error.what)
        assert upstream.requests == []
    assert "".join(pieces) == "All done."


async def test_skills_plugins_and_servers_of_the_user(tmp_path: Path) -> None:
    skill, plugin, server = tmp_path / "greet", tmp_path / "plug", tmp_path / "server.py"
    for folder, name in ((skill, "greet"), (plugin / "skills" / "wave", "wave")):
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text(SKILL.format(name=name))
    (plugin / "agents").mkdir()
    (plugin / "agents" / "aide.md").write_text("---\nname: aide\ndescription: Helps.\n---\nYou help.\n")
    (plugin / "hooks").mkdir()
    hook = {"type": "command", "command": f"touch {tmp_path}/hooked"}
    (plugin / "hooks/hooks.json").write_text(json.dumps({"hooks": {"PreToolUse": [{"hooks": [hook]}]}}))
    server.write_text(SERVER)

    def script(received: Received) -> list[Block]:
        if received.agent_id:
            return [text("Helped.")]
        return [
            [native("Skill", skill="llmos:greet"), native("Skill", skill="plug:wave")],
            [native("mcp__loud__shout", words="hi"), delegate("plug:aide", "help")],
            [text("Done.")],
        ][received.turn]

    claude = {
        "skills": [str(skill)],
        "claude_plugins": [str(plugin)],
        "mcp_servers": {"loud": {"command": sys.executable, "args": [str(server)], "env": {"MARK": "!"}}},
    }
    async with house(tmp_path / "w", scripted(script), claude=claude) as (system, upstream):
        outcome, events = await run_in(system)
    assert outcome.success, outcome.error
    outputs = [(event.tool, event.result.is_error, event.result.output) for event in of(events, ToolOutput)]
    assert outputs == [
        ("Skill", False, "Launching skill: llmos:greet"),
        ("Skill", False, "Launching skill: plug:wave"),
        ("mcp__loud__shout", False, '{"result":"HI!"}'),
    ]
    assert [event.name for event in of(events, AgentStarted)] == ["plug:aide"]
    conversation = upstream.requests[-1].body.decode()
    assert "The body of greet." in conversation
    assert "The body of wave." in conversation
    assert not (tmp_path / "hooked").exists()  # hooks of folders would act past the gate, or change what it judged


@pytest.mark.parametrize(
    ("claude", "what"),
    [
        ({"skills": ["/nowhere/skill"]}, "The skill /nowhere/skill cannot be used."),
        ({"claude_plugins": ["/nowhere/plug"]}, "The Claude Code plugin /nowhere/plug cannot be used."),
        ({"system_prompt": "preset:claude"}, "There is no system prompt preset claude."),
    ],
)
async def test_what_is_not_there_is_one_error_before_the_cli_starts(
    tmp_path: Path, claude: dict[str, Any], what: str
) -> None:
    async with house(tmp_path, scripted(turns([text("Done.")])), claude=claude) as (system, upstream):
        outcome, _ = await run_in(system)
    assert outcome.error is not None
    assert (outcome.error.what, outcome.error.exit_code) == (what, 2)
    assert upstream.requests == []


async def test_the_preset_is_the_clis_and_ours_is_appended(tmp_path: Path) -> None:
    async with house(tmp_path, scripted(turns([text("Done.")])), claude={"claude_md": True}) as (system, upstream):
        (tmp_path / "CLAUDE.md").write_text("Notes of the workspace.")
        outcome, _ = await run_in(system, system_prompt="preset:claude_code\nAnd be brief.")
    assert outcome.success
    [request] = [received for received in upstream.requests if received.method == "POST"]
    system_text = json.dumps(request.message["system"])
    assert len(system_text) > 5_000
    ours = [
        system_text.index(words) for words in ("You work inside LLM OS", "And be brief.", "Notes of the workspace.")
    ]
    assert ours == sorted(ours)


async def test_another_model_stands_in_where_the_first_is_overloaded(tmp_path: Path) -> None:
    def script(received: Received) -> Answer:
        model = received.message["model"]
        return api_error(529, "overloaded_error", "busy") if model == MODEL else [text(f"Done by {model}.")]

    claude = {"fallback_model": "claude-haiku-4-5", "max_retries": 2}
    async with house(tmp_path, scripted(script), claude=claude) as (system, _):
        outcome, events = await run_in(system)
    assert outcome.output == "Done by claude-haiku-4-5."
    assert of(events, ModelUsed)[-1].model == "claude-haiku-4-5"

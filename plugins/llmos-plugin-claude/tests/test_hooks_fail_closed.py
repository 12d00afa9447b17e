"""Native tools before the real CLI: where our hook or a guard fails, hangs or answers nonsense, they do not run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import AgentSpec, AnyEvent, ToolCall, ToolDenied, hookimpl
from llmos_plugin_claude import LLMOSSDKClient
from llmos_plugin_claude.sdk import bridge
from llmos_testkit import Received, scripted, text, use
from llmos_testkit.messages import Block, tool_use

from .house import house
from .test_natives import of, told

pytestmark = [pytest.mark.cli, pytest.mark.usefixtures("model_key")]

MARK = "mcp__marks__mark"
HELPER = AgentSpec(name="helper", description="d", system_prompt="p", tools=(MARK, "TaskCreate"))
SERVER = """
import sys
from mcp.server import MCPServer
server = MCPServer("x", log_level="ERROR")
@server.tool()
def mark(name: str) -> str:
    with open(sys.argv[1], "a") as file:
        file.write(name + "\\n")
    return name
server.run("stdio")
"""


def decided(decision: object) -> Any:
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": decision}}


ANSWERS: dict[str, Any] = {
    "nothing": None,
    "yes": True,
    "word": "allow",
    "list": [decided("allow")],
    "other-case": decided("Allow"),
    "no-word": decided(True),
    "unknown-word": decided("permit"),
    "no-json": {"hookSpecificOutput": object()},
}
FAULTS = ("raises", "cancels", "hangs", *ANSWERS)


async def fail(name: str) -> Any:
    """What a hook or a guard does that is told so."""
    if name == "raises":
        raise RuntimeError("broken")
    if name == "cancels":
        raise anyio.get_cancelled_exc_class()
    if name == "hangs":
        await anyio.sleep_forever()
    return ANSWERS[name]


def name_in(call: Mapping[str, Any]) -> str:
    """The name in the input of a call, which says how it is to be judged."""
    return Path(str(next(iter(call.values())))).name


class FailingGuard:
    """Fails as the call says that it should judge; allows other calls."""

    @hookimpl
    async def llmos_pre_tool_use(self, call: ToolCall) -> Any:
        name = name_in(call.input)
        return await fail(name) if name in FAULTS else None


def spoil_our_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own hook fails so, and does its work for other calls."""
    announced = bridge.Bridge._announced
    monkeypatch.setattr(bridge, "_HOOK_TIMEOUT_S", 1.0)

    async def judge(self: bridge.Bridge, event: Any, use: str | None, context: Any) -> Any:
        name = name_in(event["tool_input"])
        return await (fail(name) if name in FAULTS else announced(self, event, use, context))

    monkeypatch.setattr(bridge.Bridge, "_announced", judge)


def calls(names: Sequence[str]) -> list[Block]:
    """Calls that the CLI executes, two for each name."""
    return [
        *(tool_use(MARK, name=name) for name in names),
        *(tool_use("TaskCreate", subject=name, description="d") for name in names),
    ]


@pytest.mark.parametrize("what", ["hook", "guard"])
async def test_no_native_call_runs_that_was_not_judged(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "hook":
        spoil_our_hook(monkeypatch)
    # A guard may answer nothing.
    faults = FAULTS if what == "hook" else tuple(name for name in FAULTS if name != "nothing")

    def script(received: Received) -> list[Block]:
        if received.agent_id:
            return [calls(["of-agent", *faults]), [text("Tried.")]][received.turn]
        written = [tool_use("Write", file_path=name, content="x") for name in ("of-main", *faults)]
        delegation = use("Agent", description="d", prompt="p", subagent_type="helper")
        return [[*calls(["of-main", *faults]), *written], [delegation], [text("Done.")]][received.turn]

    server, marks = tmp_path / "server.py", tmp_path / "marks"
    server.write_text(SERVER)
    given: dict[str, Any] = {
        "claude": {
            "native_tools": ["Write", "TaskCreate"],
            "permission_mode": "bypassPermissions",
            "mcp_servers": {"marks": {"command": sys.executable, "args": [str(server), str(marks)]}},
        },
        "limits": {"guard_timeout_s": 1},
        "hooks": FailingGuard() if what == "guard" else None,
    }
    events: list[AnyEvent] = []
    async with house(tmp_path / "space", scripted(script), **given) as (system, upstream):
        with system.events() as stream:
            result = await LLMOSSDKClient(system).execute_learner_mode("Try.", available_agents=[HELPER])
            while stream.statistics().current_buffer_used:
                events.append(await stream.receive())
    assert result["output"] == "Done.", result
    # What was judged is executed, and nothing else.
    assert marks.read_text() == "of-main\nof-agent\n"
    assert [path.name for path in Path(result["outcome"].directory or "").iterdir()] == ["of-main"]
    seen = {request.agent_id: told(request) for request in upstream.requests if request.results() and request.turn == 1}
    errors = [is_error for results in seen.values() for _, is_error in results.values()]
    assert (len(errors), errors.count(False)) == (5 * (1 + len(faults)), 5)
    refused = [event.verdict.rule for event in of(events, ToolDenied)]
    assert refused == ["guard-failed"] * 5 * len(faults) * (what == "guard")

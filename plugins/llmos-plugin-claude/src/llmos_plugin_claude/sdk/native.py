"""Tools that the CLI executes itself: each call passes the kernel's gate, in two halves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from llmos_core import Run, ToolCall, ToolDenied, ToolResult, Verdict
from llmos_plugin_claude.settings import ClaudeSettings, NativeTool

SHARED = frozenset({"Bash", "Edit", "Glob", "Grep", "Read", "Write"})
"""Names of tools that the kernel and the CLI both have."""

_NATIVE = frozenset(get_args(NativeTool))
_BY_MODE = SHARED | {"NotebookEdit"}
_CHANGING = frozenset({"Bash", "Edit", "NotebookEdit", "Write"})


def is_native(tool: str) -> bool:
    """Whether the CLI has a tool of this name, or may have it from an MCP server."""
    return tool in _NATIVE or tool.startswith("mcp__")


class NativeTools:
    """The tools of the CLI's own that are switched on: those named, ``Skill`` where there are any, and MCP servers'."""

    def __init__(self, settings: ClaudeSettings) -> None:
        skilled = ["Skill"] if settings.skills or settings.claude_plugins else []
        self.names = list(dict.fromkeys([*settings.native_tools, *skilled]))
        self._servers = [f"mcp__{name}" for name in settings.mcp_servers]

    def __contains__(self, tool: str) -> bool:
        return tool in self.names or any(tool.startswith(f"{server}__") for server in self._servers)

    def __bool__(self) -> bool:
        return bool(self.names or self._servers)

    def let_through(self) -> list[str]:
        """Rules for those that the CLI need not ask about; of the others the permission mode decides."""
        return [*(name for name in self.names if name not in _BY_MODE), *self._servers]


class NativeGate:
    """The kernel's gate, for the calls of one run that the CLI executes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._open: dict[str, str] = {}
        self._succeeded: set[str] = set()

    async def begin(self, use: str, call: ToolCall) -> Verdict:
        """Let a call begin, or not; a refusal is told as an event."""
        if self._run.task.permission_mode == "plan" and (call.tool in _CHANGING or call.tool.startswith("mcp__")):
            verdict = Verdict.deny("the run may plan only, and change nothing", rule="plan")
            self._run.emit(ToolDenied(call=call, verdict=verdict))
            return verdict
        verdict = await self._run.begin(call)
        if verdict.decision == "allow":
            self._open[use] = call.id
        return verdict

    def succeeded(self, use: str) -> None:
        """The CLI has executed a call; :meth:`end` tells what came of it. Without this word, it failed."""
        if use in self._open:
            self._succeeded.add(use)

    async def end(self, calls: Iterable[Mapping[str, Any]]) -> None:
        """The calls of one message are over, and this is what the model is told of each."""
        for told in calls:
            use = told["tool_use_id"]
            if use in self._open:
                result = ToolResult(output=_text(told.get("tool_response")), is_error=use not in self._succeeded)
                await self._run.end(self._open.pop(use), result)


def _text(response: Any) -> str:
    """A tool's answer as text: it is one already, or blocks."""
    if isinstance(response, str):
        return response
    if isinstance(response, list):
        return "\n".join(str(block["text"]) if _is_text(block) else json.dumps(block) for block in response)
    return json.dumps(response)


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"

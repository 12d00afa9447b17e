"""The bridge between the CLI and the kernel's tools: an MCP server inside our process, and the hook that guards it.

The CLI announces every call to the hook (which knows the agent) before it makes the call (which does not): the id of
the tool use, passed on both ways, brings the two together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import mcp.types
from claude_agent_sdk import HookMatcher, McpSdkServerConfig
from claude_agent_sdk.types import HookContext, HookEvent, HookInput, HookJSONOutput
from mcp.server import Server
from mcp.server.context import ServerRequestContext

from llmos_core import LLMOSError, Run, Tool, ToolCall, ToolDenied, Verdict

SERVER = "llmos"
PREFIX = f"mcp__{SERVER}__"
AGENT = "Agent"

_TOOL_USE_ID = "claudecode/toolUseId"
# The most that the CLI shows a model unshortened: a longer result would become a file that our tools cannot read.
_META = {"anthropic/maxResultSizeChars": 500_000}
# A person may have to approve; how long guards may take is the kernel's affair.
_HOOK_TIMEOUT_S = 86_400.0


class Bridge:
    """Serves the tools of one run. ``on_fault`` is told of errors that no tool call may raise: they end the run."""

    def __init__(self, run: Run, on_fault: Callable[[Exception], object]) -> None:
        self._run = run
        self._on_fault = on_fault
        self._numbers = itertools.count(1)
        self._callers: dict[str, str | None] = {}

    def server(self) -> McpSdkServerConfig:
        """The kernel's tools, as an MCP server."""
        tools = [_describe(tool) for tool in self._run.tools.values()]

        async def list_tools(
            context: ServerRequestContext[Any, Any], params: mcp.types.PaginatedRequestParams | None
        ) -> mcp.types.ListToolsResult:
            return mcp.types.ListToolsResult(tools=tools)

        instance: Server[Any] = Server(SERVER, on_list_tools=list_tools, on_call_tool=self._call)
        return McpSdkServerConfig(type="sdk", name=SERVER, instance=instance)

    def hooks(self) -> dict[HookEvent, list[HookMatcher]]:
        """The hook that sees every call before it is made; if it fails, the call is not made."""
        return {"PreToolUse": [HookMatcher(hooks=[self._announced], timeout=_HOOK_TIMEOUT_S, on_failure="block")]}

    async def _call(
        self, context: ServerRequestContext[Any, Any], params: mcp.types.CallToolRequestParams
    ) -> mcp.types.CallToolResult:
        use = (params.meta or {}).get(_TOOL_USE_ID)
        try:
            if use not in self._callers:
                raise LLMOSError("A tool call came unannounced.", "The CLI speaks in a way that is not known here.")
            result = await self._run.call(self._record(params.name, params.arguments or {}, self._callers.pop(use)))
        except Exception as error:  # noqa: BLE001 - the kernel's door broke: the model is told, and the run ends
            self._on_fault(error)
            return _answer(f"{params.name} failed: {error}", is_error=True)
        return _answer(result.output, result.is_error)

    async def _announced(self, event: HookInput, tool_use_id: str | None, context: HookContext) -> HookJSONOutput:
        seen: Mapping[str, Any] = event
        name, agent_id = str(seen["tool_name"]), seen.get("agent_id")
        if name.startswith(PREFIX):
            self._callers[seen["tool_use_id"]] = agent_id
            return {}
        call = self._record(name, seen["tool_input"], agent_id)
        verdict = await self._judge(call)
        if verdict.decision == "allow":
            return {}
        self._run.emit(ToolDenied(call=call, verdict=verdict))
        reason = f"needs approval: {verdict.reason}" if verdict.decision == "ask" else verdict.reason
        return {
            "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "deny",
                "permissionDecisionReason": reason,
            }
        }

    async def _judge(self, call: ToolCall) -> Verdict:
        """What is to be said of a call that the CLI would execute itself: it may start the agents of the run."""
        if call.tool != AGENT:
            return Verdict.deny(f"There is no tool {call.tool} here.", rule="unknown-tool")
        if call.agent_id is not None:
            return Verdict.deny("An agent may not start agents.", rule="nested-agent")
        wanted = call.input.get("subagent_type")
        if wanted not in self._run.agents:
            return Verdict.deny(f"There is no agent {wanted}; there are: {', '.join(self._run.agents)}.", "no-agent")
        if "isolation" in call.input:
            return Verdict.deny("Agents work in the run's own directory: leave out `isolation`.", "agent-isolation")
        return await self._run.judge(call)

    def _record(self, tool: str, input: dict[str, Any], agent_id: str | None) -> ToolCall:
        return ToolCall(id=f"call-{next(self._numbers)}", tool=tool, input=input, agent_id=agent_id)


def _describe(tool: Tool) -> mcp.types.Tool:
    return mcp.types.Tool.model_validate(
        {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": tool.input_model.model_json_schema(),
            "_meta": _META,
        }
    )


def _answer(text: str, is_error: bool) -> mcp.types.CallToolResult:
    return mcp.types.CallToolResult(content=[mcp.types.TextContent(type="text", text=text)], is_error=is_error)

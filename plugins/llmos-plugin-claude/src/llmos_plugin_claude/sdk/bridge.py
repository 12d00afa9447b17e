"""The bridge between the CLI and the kernel: an MCP server inside our process, and the hooks that guard every call.

The CLI announces every call to a hook (which knows the agent) before it makes the call (which does not): the id of
the tool use, passed on both ways, brings the two together. Calls that the CLI executes itself pass the gate in hooks.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import mcp.types
from claude_agent_sdk import HookMatcher, McpSdkServerConfig
from claude_agent_sdk.types import HookCallback, HookContext, HookEvent, HookInput, HookJSONOutput
from mcp.server import Server
from mcp.server.context import ServerRequestContext

from llmos_core import LLMOSError, Run, ToolCall, ToolDenied, ToolInfo, Verdict
from llmos_plugin_claude.extras import agents_of, brought
from llmos_plugin_claude.sdk.native import NativeGate, NativeTools
from llmos_plugin_claude.settings import ClaudeSettings

T = TypeVar("T")

SERVER = "llmos"
PREFIX = f"mcp__{SERVER}__"
AGENT = "Agent"

_TOOL_USE_ID = "claudecode/toolUseId"
# The most that the CLI shows a model unshortened: a longer result would become a file that our tools cannot read.
_META = {"anthropic/maxResultSizeChars": 500_000}
# A person may have to approve; how long guards may take is the kernel's affair.
_HOOK_TIMEOUT_S = 86_400.0
# The SDK passes this event on, and the CLI knows it; the SDK's type does not.
_AFTER_MESSAGE = cast("HookEvent", "PostToolBatch")


_JUDGING = ("PreToolUse", "PermissionRequest")
"""The hooks that could rewrite a call."""


class Bridge:
    """Serves the tools of one run, and lets the CLI execute its own where they are switched on.

    ``on_fault`` is told of errors that no tool call may raise: they end the run.
    """

    def __init__(self, run: Run, on_fault: Callable[[Exception], object]) -> None:
        self._run = run
        self._on_fault = on_fault
        self._numbers = itertools.count(1)
        self._callers: dict[str, str | None] = {}
        self._agents = agents_of(run)
        self._natives = NativeTools(run.settings(ClaudeSettings))
        self._gate = NativeGate(run)
        self._hooks_brought = brought().hooks
        self.plugins: tuple[str, ...] = ()
        """The Claude Code plugins whose agents may be started."""

    def server(self) -> McpSdkServerConfig:
        """The kernel's tools, as an MCP server."""
        # Planning, the CLI calls only what is said to read only; the gate sees to it that this is true then.
        planning = self._run.task.permission_mode == "plan"
        tools = [_describe(tool, read_only=planning) for tool in self._run.tools.values()]

        async def list_tools(
            context: ServerRequestContext[Any, Any], params: mcp.types.PaginatedRequestParams | None
        ) -> mcp.types.ListToolsResult:
            return mcp.types.ListToolsResult(tools=tools)

        instance: Server[Any] = Server(SERVER, on_list_tools=list_tools, on_call_tool=self._call)
        return McpSdkServerConfig(type="sdk", name=SERVER, instance=instance)

    def hooks(self) -> dict[HookEvent, list[HookMatcher]]:
        """Our hooks, and behind them those that the caller brought.

        Ours see every call before it is made; if one fails, the call is not made. A deny of theirs wins over whatever
        another says, and no other may rewrite what they have judged.
        """
        ours: dict[HookEvent, list[HookMatcher]] = {"PreToolUse": [_guarding(self._announced)]}
        if self._natives:
            ours |= {"PostToolUse": [_guarding(self._executed)], _AFTER_MESSAGE: [_guarding(self._answered)]}
        for event, matchers in self._hooks_brought.items():
            held = [replace(matcher, hooks=[_held(hook) for hook in matcher.hooks]) for matcher in matchers]
            ours[event] = [*ours.get(event, ()), *(held if event in _JUDGING else matchers)]
        return ours

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
        verdict = await self._guard(self._judge(call, seen["tool_use_id"]))
        return {} if verdict.decision == "allow" else _denial(verdict)

    async def _executed(self, event: HookInput, tool_use_id: str | None, context: HookContext) -> HookJSONOutput:
        seen: Mapping[str, Any] = event
        self._gate.succeeded(seen["tool_use_id"])
        return {}

    async def _answered(self, event: HookInput, tool_use_id: str | None, context: HookContext) -> HookJSONOutput:
        seen: Mapping[str, Any] = event
        await self._guard(self._gate.end(seen["tool_calls"]))
        return {}

    async def _guard(self, passing: Awaitable[T]) -> T:
        """What the gate gives; if it breaks, the run ends."""
        try:
            return await passing
        except Exception as error:
            self._on_fault(error)
            raise

    async def _judge(self, call: ToolCall, use: str) -> Verdict:
        """Let a call begin that the CLI executes itself: a tool of its own, or the start of an agent."""
        if call.tool in self._natives:
            return await self._gate.begin(use, call)
        verdict = await self._judge_delegation(call)
        if verdict.decision != "allow":
            self._run.emit(ToolDenied(call=call, verdict=verdict))
        return verdict

    async def _judge_delegation(self, call: ToolCall) -> Verdict:
        if call.tool != AGENT:
            return Verdict.deny(f"There is no tool {call.tool} here.", rule="unknown-tool")
        if call.agent_id is not None:
            return Verdict.deny("An agent may not start agents.", rule="nested-agent")
        wanted = call.input.get("subagent_type")
        if not self._knows(wanted):
            return Verdict.deny(f"There is no agent {wanted}; there are: {', '.join(self._agents)}.", "no-agent")
        if "isolation" in call.input:
            return Verdict.deny("Agents work in the run's own directory: leave out `isolation`.", "agent-isolation")
        return await self._run.judge(call)

    def _knows(self, agent: object) -> bool:
        return isinstance(agent, str) and (agent in self._agents or agent.partition(":")[0] in self.plugins)

    def _record(self, tool: str, input: dict[str, Any], agent_id: str | None) -> ToolCall:
        return ToolCall(id=f"call-{next(self._numbers)}", tool=tool, input=input, agent_id=agent_id)


def _guarding(hook: HookCallback) -> HookMatcher:
    return HookMatcher(hooks=[hook], timeout=_HOOK_TIMEOUT_S, on_failure="block")


def _held(hook: HookCallback) -> HookCallback:
    """A caller's hook, which may not rewrite a call that the CLI executes: the guards have judged it as it was."""

    async def held(event: HookInput, tool_use_id: str | None, context: HookContext) -> HookJSONOutput:
        answer = await hook(event, tool_use_id, context)
        seen: Mapping[str, Any] = event
        told: Any = answer.get("hookSpecificOutput") if isinstance(answer, dict) else None
        # The kernel's own tools are judged when they are called, with the input that they get.
        if not isinstance(told, dict) or seen["tool_name"].startswith(PREFIX):
            return answer
        reason = f"A hook may not rewrite the input of {seen['tool_name']}."
        if "updatedInput" in told:
            return _denial(Verdict.deny(reason))
        if "updatedInput" in (told.get("decision") or {}):
            refused: Any = {**told, "decision": {"behavior": "deny", "message": reason}}
            return {"hookSpecificOutput": refused}
        return answer

    return held


def _denial(verdict: Verdict) -> HookJSONOutput:
    reason = f"needs approval: {verdict.reason}" if verdict.decision == "ask" else verdict.reason
    return {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }
    }


def _describe(tool: ToolInfo, *, read_only: bool) -> mcp.types.Tool:
    return mcp.types.Tool.model_validate(
        {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": tool.input_model.model_json_schema(),
            "annotations": {"readOnlyHint": True} if read_only else None,
            "_meta": _META,
        }
    )


def _answer(text: str, is_error: bool) -> mcp.types.CallToolResult:
    return mcp.types.CallToolResult(content=[mcp.types.TextContent(type="text", text=text)], is_error=is_error)

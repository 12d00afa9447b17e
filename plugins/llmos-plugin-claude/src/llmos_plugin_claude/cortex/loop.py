"""The cortex: a small agent loop over the model door and the tool door, for any model. Imports no SDK."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import to_thread

from llmos_core import (
    AgentFinished,
    AgentSpec,
    AgentStarted,
    LLMOSError,
    LlmOutput,
    Run,
    ToolCall,
    ToolDenied,
    ToolInfo,
    ToolResult,
    Verdict,
)
from llmos_plugin_claude.cortex.memory import keep, opened
from llmos_plugin_claude.cortex.model import BACKOFF_S, Model
from llmos_plugin_claude.cortex.reply import Block, ModelFailedError, Reply, ToolUse, unusable
from llmos_plugin_claude.extras import agents_of
from llmos_plugin_claude.models.http_errors import own_fault
from llmos_plugin_claude.prompt import system_text
from llmos_plugin_claude.settings import ClaudeSettings

AGENT = "Agent"
"""The tool that starts a sub-agent."""

_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})


async def solve(run: Run, prompt: str, backoff_s: float = BACKOFF_S) -> str:
    """The model's answer to a prompt, reached with the kernel's tools. ``backoff_s`` as for :class:`Model`.

    Raises what the model door refused (BudgetError, DeniedError, UsageError, ModelStalledError), or LLMOSError for any
    other end without an answer. In every case the conversation is kept.
    """
    settings = run.settings(ClaudeSettings)
    agent = _Agent(
        system=_placed(await to_thread.run_sync(system_text, run, settings), run),
        model=run.task.model or settings.model,
        tools=run.tools,
    )
    messages = await opened(run, prompt)
    try:
        return await _Cortex(run, settings, Model(run, settings, backoff_s)).work(agent, messages)
    finally:
        with anyio.CancelScope(shield=True):
            await keep(run, messages)


@dataclass(frozen=True, slots=True)
class _Agent:
    """Who asks: the main agent (``id`` None), or a sub-agent."""

    system: str
    model: str
    tools: Mapping[str, ToolInfo]
    id: str | None = None


class _Cortex:
    """The agents of one run."""

    def __init__(self, run: Run, settings: ClaudeSettings, model: Model) -> None:
        self._run = run
        self._settings = settings
        self._model = model
        self._max_turns = run.task.max_turns or settings.max_turns
        self._call_numbers = itertools.count(1)
        self._agent_numbers = itertools.count(1)
        self._schemas = {tool.name: _describe(tool) for tool in run.tools.values()}

    async def work(self, agent: _Agent, messages: list[Block]) -> str:
        """The last text of an agent. What is said and done is appended to ``messages``."""
        for turn in range(1, self._max_turns + 1):
            reply = await self._model.ask(agent.model, self._request(agent, messages), agent.id)
            for text in reply.texts:
                self._run.emit(LlmOutput(text=text, agent_id=agent.id))
            _check(reply)
            messages.append({"role": "assistant", "content": reply.content})
            if not reply.uses:
                return "\n".join(reply.texts)
            if turn < self._max_turns:  # else nobody would read the results
                messages.append({"role": "user", "content": await self._results(reply.uses, agent)})
        what = f"The model did not finish within {self._max_turns} turns."
        raise ModelFailedError(what, "That many were allowed.", "Raise --max-turns, or ask for less.")

    def _request(self, agent: _Agent, messages: list[Block]) -> Block:
        tools = [self._schemas[name] for name in agent.tools]
        if agent.id is None and agents_of(self._run):
            tools = [_delegation(self._run), *tools]
        return {
            "max_tokens": self._settings.max_tokens,
            **({"system": agent.system} if agent.system else {}),
            **({"tools": tools} if tools else {}),
            "messages": messages,
            "stream": True,
        }

    async def _results(self, uses: Sequence[ToolUse], agent: _Agent) -> list[Block]:
        """The results of all calls of a message, in order.

        Calls are made one by one, but for those that can change nothing, and for agents side by side.
        """
        if all(self._is_pure(use) for use in uses):
            return await self._together(uses, agent)
        results = []
        for together, batch in itertools.groupby(uses, lambda use: use.name == AGENT):
            for group in [list(batch)] if together else [[use] for use in batch]:
                results += await self._together(group, agent)
        return results

    def _is_pure(self, use: ToolUse) -> bool:
        tool = self._run.tools.get(use.name)
        try:
            return tool is not None and tool.effect(tool.input_model.model_validate(use.input)) == "pure"
        except Exception:  # noqa: BLE001 - what cannot say its effect may do anything; the tool door tells the fault
            return False

    async def _together(self, uses: Sequence[ToolUse], agent: _Agent) -> list[Block]:
        done: dict[int, Block] = {}

        async def make(number: int, use: ToolUse) -> None:
            result = await self._make(use, agent)
            done[number] = {
                "type": "tool_result",
                "tool_use_id": use.id,
                "content": result.output,
                **({"is_error": True} if result.is_error else {}),
            }

        try:
            async with anyio.create_task_group() as group:
                for number, use in enumerate(uses):
                    group.start_soon(make, number, use)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [done[number] for number in sorted(done)]

    async def _make(self, use: ToolUse, agent: _Agent) -> ToolResult:
        """Make one call. What must not reach the tool door is refused here, and told like its refusals."""
        id = f"call-{next(self._call_numbers)}"
        call = ToolCall(id=id, tool=use.name, input=use.input, agent_id=agent.id)
        if use.fault:
            return self._refuse(call, Verdict.deny(use.fault, "invalid-input"))
        if use.name == AGENT and agents_of(self._run):
            return await self._delegate(call, agent)
        if agent.id is not None and use.name not in agent.tools:
            return self._refuse(call, Verdict.deny(f"There is no tool {use.name} here.", "unknown-tool"))
        try:
            return await self._run.call(call)
        except LLMOSError:
            raise
        except Exception as error:
            raise own_fault(error) from error

    def _refuse(self, call: ToolCall, verdict: Verdict) -> ToolResult:
        self._run.emit(ToolDenied(call=call, verdict=verdict))
        need = "needs approval" if verdict.decision == "ask" else "was refused"
        return ToolResult(output=f"{call.tool} {need}: {verdict.reason}", is_error=True)

    async def _delegate(self, call: ToolCall, parent: _Agent) -> ToolResult:
        """Let a sub-agent do its part. Its failure is for its parent to deal with; a refusal at a door ends the run."""
        verdict = await self._judge(call, parent)
        if verdict.decision != "allow":
            return self._refuse(call, verdict)
        name, prompt = str(call.input["subagent_type"]), str(call.input["prompt"])
        agent = self._sub_agent(agents_of(self._run)[name], f"agent-{next(self._agent_numbers)}", parent)
        assert agent.id is not None
        self._run.emit(AgentStarted(agent_id=agent.id, name=name, task=prompt))
        try:
            answer = await self.work(agent, [{"role": "user", "content": [{"type": "text", "text": prompt}]}])
            return ToolResult(output=answer)
        except ModelFailedError as error:
            told = " ".join(line for line in (error.what, error.why) if line)
            return ToolResult(output=f"The agent {name} failed: {told}", is_error=True)
        finally:
            self._run.emit(AgentFinished(agent_id=agent.id, name=name))

    async def _judge(self, call: ToolCall, parent: _Agent) -> Verdict:
        if parent.id is not None:
            return Verdict.deny("An agent may not start agents.", "nested-agent")
        wanted, prompt = call.input.get("subagent_type"), call.input.get("prompt")
        if not (isinstance(wanted, str) and wanted in agents_of(self._run)):
            return Verdict.deny(
                f"There is no agent {wanted}; there are: {', '.join(agents_of(self._run))}.", "no-agent"
            )
        if not (isinstance(prompt, str) and prompt.strip()):
            return Verdict.deny("The agent needs a `prompt` that says what to do.", "invalid-input")
        return await self._run.judge(call)

    def _sub_agent(self, spec: AgentSpec, id: str, parent: _Agent) -> _Agent:
        told = "\n".join([spec.system_prompt, *(f"- {constraint}" for constraint in spec.constraints)])
        tools = {name: tool for name, tool in self._run.tools.items() if spec.tools is None or name in spec.tools}
        model = parent.model if spec.model in (None, "inherit") else spec.model
        return _Agent(system=_placed(told, self._run), model=model or parent.model, tools=tools, id=id)


def _check(reply: Reply) -> None:
    """Raises ModelFailedError for a reply that is neither an answer nor a whole list of calls."""
    if reply.stop_reason in _CUT_OFF:
        fix = "Raise max_tokens in [plugins.claude], or --max-cost if that is short; or ask for less."
        raise unusable("It was cut off: it reached the limit of its tokens.", fix)
    if reply.stop_reason == "refusal":
        raise ModelFailedError(
            "The model declined to answer.", " ".join(" ".join(reply.texts).split()), "Ask otherwise."
        )
    if not reply.uses and not reply.texts:
        raise ModelFailedError("The model gave no answer.", "Its last message holds no text.")


def _placed(system: str, run: Run) -> str:
    """A system prompt with what an agent must know of where it works."""
    return f"{system}\n\nWorking directory: {run.workdir}".strip()


def _describe(tool: ToolInfo) -> Block:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.input_model.model_json_schema()}


def _delegation(run: Run) -> Block:
    agents = "\n".join(f"- {name}: {spec.description}" for name, spec in agents_of(run).items())
    properties: dict[str, Any] = {
        "description": {"type": "string", "description": "What the agent does, in a few words."},
        "prompt": {"type": "string", "description": "What the agent shall do. It sees nothing of this conversation."},
        "subagent_type": {"type": "string", "enum": list(agents_of(run)), "description": "The agent."},
    }
    return {
        "name": AGENT,
        "description": f"Let an agent do a part of the work; its report comes back. The agents are:\n{agents}",
        "input_schema": {
            "type": "object",
            "properties": properties,
            "required": ["description", "prompt", "subagent_type"],
            "additionalProperties": False,
        },
    }

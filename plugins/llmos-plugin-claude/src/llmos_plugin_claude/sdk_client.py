"""The Learner from Python, as one call with everything of the SDK. Imports no SDK until it is used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypedDict

from llmos_core import LLMOS, AgentSpec, AnyEvent, LlmDelta, OnEvent, Outcome, Project, UsageError
from llmos_plugin_claude.extras import Extras, bringing
from llmos_plugin_claude.settings import ClaudeSettings

if TYPE_CHECKING:
    from claude_agent_sdk import HookMatcher
    from claude_agent_sdk.types import HookEvent

StreamingCallback = Callable[[LlmDelta], Awaitable[None] | None]
"""Told of each piece of text (``.content``) as the model writes it; it may be async."""


class LearnerResult(TypedDict):
    """How a learned run ended. ``cost`` is in US dollars, ``error`` says what went wrong, ``outcome`` is the whole."""

    success: bool
    output: str
    cost: float
    trace_id: str | None
    error: str | None
    outcome: Outcome


class LLMOSSDKClient:
    """Runs goals in the mode LEARNER on a booted system."""

    def __init__(self, system: LLMOS) -> None:
        self._system = system

    async def execute_learner_mode(
        self,
        goal: str,
        goal_signature: object = None,
        project: str | Project | None = None,
        available_agents: Sequence[AgentSpec] | None = None,
        max_cost_usd: float | None = None,
        enable_hooks: bool = True,
        enable_streaming: bool = False,
        streaming_callback: StreamingCallback | None = None,
        hooks: Mapping[HookEvent, Sequence[HookMatcher]] | None = None,
        **fields: Any,
    ) -> LearnerResult:
        """Let the model solve a goal; a failed run is a result too.

        Args:
            goal: what is to be reached.
            goal_signature: not needed: the signature is always made from the goal. Taken so that older calls work.
            project: a project or its name.
            available_agents: agents that the model may delegate to, beside those of the system.
            max_cost_usd: what the run may spend, in US dollars.
            enable_hooks: whether ``hooks`` are used. Limits, guards, and the recording of the run stand in the doors
                of the kernel and cannot be switched off.
            enable_streaming: whether ``streaming_callback`` is called.
            streaming_callback: told of the text as it is written, sub-agents' too. If it raises, the run ends.
            hooks: hooks of the SDK, as ``ClaudeAgentOptions.hooks`` takes them. They run beside ours and cannot allow
                what ours deny.
            fields: further fields of :class:`llmos_core.Task`.

        Raises:
            UsageError: the goal or a field is wrong, or hooks are given and the SDK is not used.
            WorkspaceError: the project cannot be used.

        """
        used = dict(hooks or {}) if enable_hooks else {}
        if used and not self._has_sdk():
            raise UsageError(
                "Hooks of the SDK need the Claude Agent SDK.",
                'It is not installed, or the settings say engine = "cortex".',
                'Install it (pip install "llmos-plugin-claude[sdk]") and leave engine out of the settings.',
            )
        if max_cost_usd is not None:
            fields["max_cost_usd"] = max_cost_usd
        on_event = _passing(streaming_callback) if enable_streaming and streaming_callback else None
        name = project.name if isinstance(project, Project) else project
        with bringing(Extras({agent.name: agent for agent in available_agents or ()}, used)):
            outcome = await self._system.execute(goal, name, on_event=on_event, **{**fields, "mode": "LEARNER"})
        return LearnerResult(
            success=outcome.success,
            output=outcome.output,
            cost=outcome.cost_usd,
            trace_id=outcome.trace_id,
            error=outcome.error.what if outcome.error else None,
            outcome=outcome,
        )

    def _has_sdk(self) -> bool:
        engine = self._system.host.settings(ClaudeSettings).engine
        return engine != "cortex" and find_spec("claude_agent_sdk") is not None


def _passing(callback: StreamingCallback) -> OnEvent:
    def pass_on(event: AnyEvent) -> Awaitable[None] | None:
        return callback(event) if isinstance(event, LlmDelta) else None

    return pass_on

"""The strategy LEARNER: a task is solved by a model that reasons, with the kernel's tools."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

from anyio import to_thread

from llmos_core import Bid, LLMOSError, Result, Run, Task, UsageError
from llmos_plugin_claude.prompt import task_prompt
from llmos_plugin_claude.settings import ClaudeSettings

ESTIMATE_USD = 0.5
"""What a learned run is expected to cost where its price is not known beforehand, in US dollars."""

_FIT = 0.95
_SDK, _SESSION = "claude_agent_sdk", "llmos_plugin_claude.sdk.session"
_ONLY_WITH_SDK = ("native_tools", "skills", "claude_plugins", "mcp_servers", "effort", "thinking")
_INSTALL = 'pip install "llmos-plugin-claude[sdk]"'
_INSTEAD = f"The Claude Agent SDK is not installed: LLM OS's own agent loop, the cortex, is used. For it: {_INSTALL}"


class Learner:
    """Solves any task: through the Claude Agent SDK, or where that is not there through the cortex, a loop of our own.

    ``extra_environment`` is set for the CLI of the SDK on top of the rest.
    """

    name = "LEARNER"
    learns = True

    def __init__(self, extra_environment: Mapping[str, str] | None = None) -> None:
        self._extra_environment = dict(extra_environment or {})

    async def bid(self, task: Task, run: Run) -> Bid:
        """An estimate; no bid where no model is ready or the task is known not to be served. Imports no SDK."""
        settings = run.settings(ClaudeSettings)
        try:
            uses_sdk = _uses_sdk(settings)
            provider = run.model
            provider.check(task, run)
        except UsageError as error:
            return Bid.cannot(error)
        paid = provider.billing == "real" and provider.priced(task.model or settings.model, run)
        missing = () if uses_sdk or settings.engine == "cortex" else (_INSTEAD,)
        return Bid(
            fit=_FIT,
            cost_usd=ESTIMATE_USD if paid else 0.0,
            reason=f"a model can try any goal (model: {provider.name})",
            notices=(*provider.notices(), *missing),
        )

    async def run(self, task: Task, run: Run) -> Result:
        """Let the model solve the task; its answer is the output."""
        prompt = await run.submit_prompt(task_prompt(task))
        try:
            if _uses_sdk(run.settings(ClaudeSettings)):
                # In a thread, so that the event loop stays alive for the second that the import takes.
                session = await to_thread.run_sync(import_module, _SESSION)
                answer = await session.solve(run, prompt, self._extra_environment)
            else:
                from llmos_plugin_claude.cortex import loop as cortex

                answer = await cortex.solve(run, prompt)
        except LLMOSError as error:
            return Result.failed(error)
        return Result(success=True, output=answer)


def _uses_sdk(settings: ClaudeSettings) -> bool:
    """Whether the SDK runs the task. Raises UsageError where it must and is missing."""
    installed = settings.engine != "cortex" and find_spec(_SDK) is not None
    if settings.engine == "sdk" and not installed:
        raise UsageError("The Claude Agent SDK is not installed.", fix=f"Install it: {_INSTALL}")
    if not installed and (needed := _only_with_sdk(settings)):
        raise UsageError(
            f"The setting {needed} needs the Claude Agent SDK.",
            "It is for the Claude Code CLI; the cortex has the kernel's tools only.",
            f'Install the SDK ({_INSTALL}) and leave out engine = "cortex", or leave out {needed}.',
        )
    return installed


def _only_with_sdk(settings: ClaudeSettings) -> str | None:
    """The first setting in use that only the SDK can serve."""
    return next((name for name in _ONLY_WITH_SDK if getattr(settings, name)), None)

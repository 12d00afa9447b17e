"""The strategy LEARNER: a task is solved by a model that reasons, with the kernel's tools."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

from anyio import to_thread

from llmos_core import Bid, LLMOSError, Result, Run, Task, UsageError
from llmos_plugin_claude.settings import ClaudeSettings

ESTIMATE_USD = 0.5
"""What a learned run is expected to cost where its price is not known beforehand, in US dollars."""

_FIT = 0.95
_SESSION = "llmos_plugin_claude.session"


class Learner:
    """Solves any task through the Claude Agent SDK. ``extra_environment`` is set for the CLI on top of the rest."""

    name = "LEARNER"
    learns = True

    def __init__(self, extra_environment: Mapping[str, str] | None = None) -> None:
        self._extra_environment = dict(extra_environment or {})

    async def bid(self, task: Task, run: Run) -> Bid:
        """An estimate; no bid where no model is ready or the model is known not to serve the task. Imports no SDK."""
        try:
            if find_spec("claude_agent_sdk") is None:
                raise UsageError(
                    "The Claude Agent SDK is not installed.", fix="Install it: pip install claude-agent-sdk"
                )
            provider = run.model
            provider.check(task, run)
        except UsageError as error:
            return Bid.cannot(error)
        paid = provider.billing == "real" and provider.priced(task.model or run.settings(ClaudeSettings).model, run)
        return Bid(
            fit=_FIT,
            cost_usd=ESTIMATE_USD if paid else 0.0,
            reason=f"a model can try any goal (model: {provider.name})",
            notices=tuple(provider.notices()),
        )

    async def run(self, task: Task, run: Run) -> Result:
        """Let the model solve the task; its answer is the output."""
        prompt = await run.submit_prompt(task.goal)
        # In a thread, so that the event loop stays alive for the second that the import takes.
        session = await to_thread.run_sync(import_module, _SESSION)
        try:
            answer = await session.solve(run, prompt, self._extra_environment)
        except LLMOSError as error:
            return Result.failed(error)
        return Result(success=True, output=answer)

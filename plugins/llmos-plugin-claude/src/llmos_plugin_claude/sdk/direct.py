"""The second way of the CLI to its model: its own login, in the user's own home, past our gateway."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from anyio import TemporaryDirectory, to_thread
from claude_agent_sdk import ClaudeAgentOptions, Message, ResultMessage, StreamEvent, SystemMessage

from llmos_core import BudgetError, LlmDelta, LLMOSError, ModelUsed, Notice, Run, Usage
from llmos_plugin_claude.models.http_errors import own_fault
from llmos_plugin_claude.models.subscription import LOGIN_VARIABLE, SUBSCRIPTION, login_environment
from llmos_plugin_claude.sdk.access import OpenAccess, through_gateway

_LOG_IN = f"Log in anew with `claude auth login`, or set {LOGIN_VARIABLE}."


@dataclass(frozen=True, slots=True)
class _Spent:
    """What a session has cost so far, as the CLI counts: over all its runs, in US dollars; tokens by model."""

    usd: float = 0.0
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def since(self, earlier: _Spent) -> Usage:
        """The tokens of all models since then."""
        return Usage(
            input_tokens=self._more("inputTokens", earlier),
            output_tokens=self._more("outputTokens", earlier),
            cache_read_tokens=self._more("cacheReadInputTokens", earlier),
            cache_write_5m_tokens=self._more("cacheCreationInputTokens", earlier)
            - self._more("cacheCreationEphemeral1hInputTokens", earlier),
            cache_write_1h_tokens=self._more("cacheCreationEphemeral1hInputTokens", earlier),
            web_searches=self._more("webSearchRequests", earlier),
        )

    def used_since(self, earlier: _Spent) -> str:
        """The ids of the models that were asked since then."""
        return ", ".join(model for model, counts in self.models.items() if counts != earlier.models.get(model))

    def _more(self, name: str, earlier: _Spent) -> int:
        return max(0, self._sum(name) - earlier._sum(name))

    def _sum(self, name: str) -> int:
        return sum(int(counts.get(name) or 0) for counts in self.models.values())


class DirectAccess:
    """The CLI asks the model itself. What that costs is what the CLI says: at the end, in its result or its record."""

    def __init__(self, run: Run, environ: Mapping[str, str], temporary: str) -> None:
        self.environment = {**login_environment(), "CLAUDE_CODE_TMPDIR": temporary}
        self.config = Path(environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
        self.secrets = tuple(token for token in (environ.get(LOGIN_VARIABLE, ""),) if token)
        self.refusal: LLMOSError | None = None
        self.failure = ""
        self.cut = anyio.Event()
        self._run = run
        self._session = ""
        self._booked = _Spent()
        self._told = True

    def refuse(self, error: Exception) -> LLMOSError:
        """End the run: the CLI is interrupted. Gives the first error that was so reported."""
        self.cut.set()
        return self._refuse(error)

    def _refuse(self, error: Exception) -> LLMOSError:
        if self.refusal is None:
            self.refusal = own_fault(error)
        return self.refusal

    def options(self, options: ClaudeAgentOptions) -> ClaudeAgentOptions:
        """What is left to spend becomes the CLI's limit, which it checks after each response; it tells its text."""
        return replace(options, max_budget_usd=self._run.left_usd, include_partial_messages=True)

    async def heard(self, message: Message) -> None:
        """Note the session's beginning, and book its result."""
        if isinstance(message, SystemMessage) and message.subtype == "init":
            # A session that is gone on with brings the cost of its past, which was booked then.
            self._session, self._told = str(message.data.get("session_id", "")), False
            self._booked = await self._recorded() or _Spent()
        if isinstance(message, StreamEvent) and (text := message.event.get("delta", {}).get("text")):
            self._run.emit(LlmDelta(text=text))
        if isinstance(message, ResultMessage):
            self._told = True
            await self._book(_Spent(message.total_cost_usd or 0.0, message.model_usage or {}))
            self._judge(message)

    def _judge(self, result: ResultMessage) -> None:
        """What only this way knows of the end."""
        said = " ".join((result.result or "; ".join(result.errors or ())).split())
        if result.subtype == "error_max_budget_usd":
            limit = f"It was ${self._run.task.max_cost_usd:g}."
            self._refuse(BudgetError("The limit of the run is used up.", limit, "Raise --max-cost, or ask for less."))
        elif result.is_error and (result.api_error_status in (401, 403) or "Not logged in" in said):
            self._refuse(LLMOSError("The login of the Claude Code CLI does not serve.", said, _LOG_IN))

    async def settle(self) -> None:
        """Book what a session cost that ended without a result. Where the CLI does not say, tell so."""
        if self._told:
            return
        spent = await self._recorded()
        if spent is None or spent.usd <= self._booked.usd:
            text = "What the interrupted request cost is not known: the CLI ended before it could say."
            self._run.emit(Notice(level="warning", text=text))
        else:
            await self._book(spent, complete=False)

    async def _book(self, spent: _Spent, *, complete: bool = True) -> None:
        if spent.usd <= self._booked.usd and not spent.used_since(self._booked):
            return
        used = ModelUsed(
            request_id=self._session,
            provider=SUBSCRIPTION,
            model=spent.used_since(self._booked),
            status=200,
            usage=spent.since(self._booked),
            cost_usd=round(max(0.0, spent.usd - self._booked.usd), 6),
            billing="real",
            complete=complete,
        )
        self._booked = spent
        await self._run.charge(used)

    async def _recorded(self) -> _Spent | None:
        return await to_thread.run_sync(_last_cost, self.config, self._session)


def _last_cost(config: Path, session: str) -> _Spent | None:
    """The last word on cost in the CLI's record of a session, if there is one."""
    last = None
    for path in config.glob(f"projects/*/{session}.jsonl") if session else ():
        with path.open("rb") as lines:
            last = next((line for line in reversed([*lines]) if b'"cost-state"' in line), last)
    if last is None:
        return None
    try:
        data = json.loads(last)
        return _Spent(float(data["totalCostUSD"]), dict(data["modelUsage"]))
    except (ValueError, LookupError, TypeError):
        return None


@asynccontextmanager
async def directly(run: Run, environ: Mapping[str, str] = os.environ) -> AsyncIterator[DirectAccess]:
    """Opens this way for a run; at the end, what is still open is booked."""
    async with TemporaryDirectory(prefix="llmos-cli-", ignore_cleanup_errors=True) as temporary:
        access = DirectAccess(run, environ, temporary)
        try:
            yield access
        finally:
            with anyio.CancelScope(shield=True):
                await access.settle()


def access_for(run: Run) -> OpenAccess:
    """The way to the model that the run's provider asks for."""
    return directly if run.model.name == SUBSCRIPTION else through_gateway

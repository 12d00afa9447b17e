"""Requests of the cortex to its model: through the model door, again where that is safe. Imports no SDK."""

from __future__ import annotations

import json
import random
import time
import uuid
from email.utils import parsedate_to_datetime
from itertools import count

import anyio

from llmos_core import LLMOSError, ModelReply, ModelRequest, Notice, Run
from llmos_plugin_claude.cortex.reply import Block, ModelFailedError, Reply, read_reply
from llmos_plugin_claude.models.http_errors import own_fault, what_and_fix
from llmos_plugin_claude.models.wire import error_message
from llmos_plugin_claude.settings import ClaudeSettings

BACKOFF_S = 0.5
"""The first pause before asking again, in seconds; each further one is twice as long."""

MAX_WAIT_S = 300.0
"""A server that asks for a longer pause, in seconds, is not asked again."""

ALIASES = {
    "sonnet": "claude-sonnet-5-5",
    "opus": "claude-opus-5-5",
    "haiku": "claude-haiku-5-5",
    "fable": "claude-fable-5-2",
}
"""The ids that the short names stand for, as the Claude Code CLI has them."""

_OVERLOADED = frozenset({"529", "overloaded_error"})
_PATIENCE = 3
"""How often an overloaded model is asked before its fallback is."""

_HEADERS = (("content-type", "application/json"), ("anthropic-version", "2023-06-01"))
_MAX_TOLD = 64 << 10


class Model:
    """The model of one run. ``backoff_s`` is the first pause before asking again, in seconds."""

    def __init__(self, run: Run, settings: ClaudeSettings, backoff_s: float = BACKOFF_S) -> None:
        self._run = run
        self._max_retries = settings.max_retries
        self._fallback = settings.fallback_model
        self._overloaded: set[str] = set()
        self._backoff_s = backoff_s

    async def ask(self, model: str, message: Block, agent_id: str | None) -> Reply:
        """The reply to a Messages request for a model.

        It is asked again where nothing of the reply had come, or the server was busy; where the model stays overloaded,
        the fallback model is. Raises ModelFailedError for the model's failures, and what the model door raises.
        """
        for attempt in count(1):
            try:
                return await self._once({"model": self._id(model), **message}, agent_id)
            except ModelFailedError as failure:
                wait_s = self._pause(attempt) if failure.wait_s is None else failure.wait_s
                if not failure.again or attempt > self._max_retries or wait_s > MAX_WAIT_S:
                    raise
                told = f"The model did not answer ({failure.again}); attempt {attempt} follows in {wait_s:.1f} s."
                self._run.emit(Notice(level="warning", text=told))
                if attempt == _PATIENCE and failure.again in _OVERLOADED:
                    self._overloaded.add(model)
            await anyio.sleep(wait_s)
        raise AssertionError

    def _id(self, model: str) -> str:
        """The id to ask for: not that of an overloaded model, if there is another."""
        if self._fallback and model in self._overloaded:
            model = self._fallback
        return ALIASES.get(model, model)

    def _pause(self, attempt: int) -> float:
        return self._backoff_s * 2.0 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret

    async def _once(self, message: Block, agent_id: str | None) -> Reply:
        body = json.dumps(message, separators=(",", ":")).encode()
        request = ModelRequest.parse(uuid.uuid4().hex, body, _HEADERS, agent_id=agent_id)
        try:
            async with self._run.ask(request) as answer:
                if answer.status != 200:
                    raise await _refused(answer)
                return await read_reply(answer)
        except LLMOSError:
            raise
        except Exception as error:
            raise own_fault(error) from error


async def _refused(answer: ModelReply) -> ModelFailedError:
    told = bytearray()
    try:
        async for chunk in answer.chunks:
            told += chunk[: _MAX_TOLD - len(told)]
    except LLMOSError:
        raise
    except Exception as error:  # noqa: BLE001 - the status says enough, where its explanation broke off
        told += f" ({type(error).__name__}: {error})".encode()
    status = answer.status
    what, fix = what_and_fix(status)
    return ModelFailedError(
        what,
        " ".join(error_message(bytes(told)).split()),
        fix,
        again=str(status) if status in (408, 429) or status >= 500 else "",
        wait_s=_retry_after(dict(answer.headers).get("retry-after")),
    )


def _retry_after(value: str | None) -> float | None:
    """The pause in seconds that a server asks for, in either form of the header; None for none or nonsense."""
    if value is None:
        return None
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time() if "," in value else float(value)
    except ValueError:
        return None
    return max(0.0, seconds)

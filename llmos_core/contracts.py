"""What the parts of LLM OS can do for each other: the Protocols that plugins implement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from pydantic import BaseModel

from llmos_core.errors import UsageError
from llmos_core.records import Bid, Billing, Candidate, Effect, Note, Record, Result, Task, ToolResult, Usage
from llmos_core.trace.record import Trace

if TYPE_CHECKING:
    from llmos_core.run import Run


@dataclass(frozen=True, slots=True)
class HookFunction:
    """One implementation of a run-time hook, with the names of the arguments it takes."""

    plugin: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    is_async: bool


@runtime_checkable
class Tool(Protocol):
    """A tool of the kernel: the same code serves the Learner and the Follower.

    ``input_model`` validates the call's input (unknown keys are refused) and gives the JSON Schema shown to models.
    ``run`` returns a result with ``is_error`` for failures the model should see; it raises only for faults of its own.
    """

    name: str
    description: str

    @property
    def input_model(self) -> type[BaseModel]:
        """What an input must be; an attribute of the class will do."""
        ...

    def effect(self, input: Any) -> Effect:
        """What this very input can change; answer ``external`` when in doubt."""
        ...

    async def run(self, input: Any, run: Run) -> ToolResult:
        """Do it. ``input`` is an instance of ``input_model``; files belong below ``run.workdir``."""
        ...


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request of the Messages API on its way to a model.

    ``body`` holds the exact bytes to send, ``message`` the same parsed (read only). ``headers`` are lower-case names;
    no credential is among them. ``agent_id`` names the sub-agent that asks, None the main agent.
    """

    id: str
    body: bytes
    message: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""
    agent_id: str | None = None

    @classmethod
    def parse(
        cls,
        id: str,
        body: bytes,
        headers: tuple[tuple[str, str], ...] = (),
        query: str = "",
        agent_id: str | None = None,
    ) -> Self:
        """Raises UsageError if the body is not a Messages request."""
        try:
            message = json.loads(body)
        except ValueError as error:
            raise UsageError("The model request is not JSON.", str(error)) from error
        if not isinstance(message, dict) or not isinstance(message.get("model"), str):
            raise UsageError("The model request names no model.")
        if not isinstance(message.get("max_tokens", 1), int) or message.get("max_tokens", 1) < 1:
            raise UsageError("The model request asks for no tokens.", "`max_tokens` must be at least 1.")
        return cls(id, body, message, headers, query, agent_id)

    @property
    def model(self) -> str:
        """The name of the model that is asked for."""
        model: str = self.message["model"]
        return model

    def with_max_tokens(self, limit: int) -> Self:
        """The same request, which may write no more than ``limit`` tokens."""
        message = {**self.message, "max_tokens": limit}
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        try:
            body = text.encode()
        except UnicodeEncodeError:  # half a character: only an escape can stand for it
            body = json.dumps(message, separators=(",", ":")).encode()
        return replace(self, body=body, message=message)


@dataclass(slots=True)
class ModelReply:
    """A provider's answer as HTTP gives it: status, headers, and the body in chunks as they arrive."""

    status: int
    chunks: AsyncIterator[bytes]
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/event-stream"),)


@runtime_checkable
class ModelProvider(Protocol):
    """Answers Messages requests. ``billing`` says whether its cost is real money.

    The provider named in the settings is used; else the first that is ready and no ``fallback``; else a ready fallback.
    """

    name: str
    billing: Billing
    fallback: bool

    def unready(self) -> str | None:
        """None if requests can be answered, else the reason (a missing credential, say).

        Raises UsageError where the user meant this provider, but it cannot be used: no other must step in.
        """
        ...

    def notices(self) -> Sequence[str]:
        """What the user must know when this provider is used."""
        ...

    def secrets(self) -> Sequence[str]:
        """Credentials that must never reach a log, a trace or a child's environment."""
        ...

    def check(self, task: Task, run: Run) -> None:
        """Raises UsageError if this provider is known to be unable to serve the task."""
        ...

    def priced(self, model: str, run: Run) -> bool:
        """False if requests for this model cost nothing unless the settings price it (a local model)."""
        ...

    def open(self, request: ModelRequest, run: Run) -> AbstractAsyncContextManager[ModelReply]:
        """Send a request. The reply is read while the context is open, and may be left half read."""
        ...


class Hold(Protocol):
    """Money set aside for one model request."""

    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        """Book what the request really cost, in micro-dollars."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """Holds money before a request and settles it after."""

    name: str

    def hold(
        self, run_id: str, request_id: str, worst_micros: int, billing: Billing
    ) -> AbstractAsyncContextManager[Hold]:
        """Raises BudgetError on entry if the worst case does not fit. Left unsettled, the worst case is booked."""
        ...


class StoredTrace(Record):
    """A version of a trace as a store knows it.

    ``trace`` is None where the file cannot be read; ``fault`` then says why. A file whose bytes do not match its
    name was edited by hand: it is readable, but ``intact`` is False and it is not followable. Counts are live, from
    the log of outcomes; ``disputed`` is the last word of a user who found a run with it bad. One that this user has
    not made or verified here is ``foreign``: it may be followed, but its commands reach no network.
    """

    trace_id: str
    version: str
    location: str
    trace: Trace | None
    intact: bool = True
    foreign: bool = False
    fault: str | None = None
    uses: int = 0
    successes: int = 0
    last_used: datetime | None = None
    last_success: bool | None = None
    disputed: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why this version may not be followed at all; None if it may."""
        if self.trace is None:
            return self.fault or "the trace cannot be read"
        if not self.trace.completed:
            return self.trace.unverified_reason or "the run did not complete"
        if not self.intact:
            return "the file was changed after it was verified"
        if self.trace.verified is None:
            return self.trace.unverified_reason or "the trace was not verified"
        return self.disputed


def disputed(run_id: str, text: str = "") -> str:
    """Why a version is not followed once a user called a run with it bad."""
    return f"its user found run {run_id} bad" + (f": {text}" if text else "")


class TraceStore(Protocol):
    """Keeps versions of traces. Versions never change; outcomes are counted beside them."""

    async def save(self, trace: Trace) -> StoredTrace:
        """Store a version, durably. Saving the same trace twice gives the same version."""
        ...

    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        """All versions of one goal signature, newest first; unreadable ones with their fault."""
        ...

    def scan(self) -> AsyncIterator[StoredTrace]:
        """Every version of every trace, streamed."""
        ...

    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        """Count an outcome of following a version; counting one run twice has no effect."""
        ...

    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        """What a user says of a run that made or followed a version. Until another word, a bad one disputes it."""
        ...


class NoteStore(Protocol):
    """Keeps notes: facts that hold, and insights drawn from runs."""

    async def add(self, note: Note) -> Note:
        """Store a note, durably; a note of the same id takes the place of the older one."""
        ...

    async def get(self, note_id: str) -> Note | None:
        """The note of that id; None where there is none."""
        ...

    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        """The notes that share words with the text, the best first. Any text may be searched for."""
        ...

    def scan(self) -> AsyncIterator[Note]:
        """Every note, streamed."""
        ...

    async def forget(self, note_id: str) -> bool:
        """Remove a note; False where there was none."""
        ...


@runtime_checkable
class MemoryBackend(Protocol):
    """Makes the stores of a workspace. ``root`` is the workspace's ``memories/`` directory."""

    name: str

    def trace_store(self, root: Path) -> TraceStore:
        """The traces below ``root``. Called once, at boot; nothing needs to be there yet."""
        ...


@runtime_checkable
class NoteBackend(Protocol):
    """What a memory backend has besides, if it keeps notes too."""

    def note_store(self, root: Path) -> NoteStore:
        """The notes below ``root``. Called once, at boot; nothing needs to be there yet."""
        ...


@runtime_checkable
class Matcher(Protocol):
    """Proposes candidate traces for a task; the Follower decides which may be followed."""

    name: str

    async def propose(self, task: Task, run: Run) -> Iterable[Candidate]:
        """Traces that may fit, the best first, each with its score and the reason why it is refused, if it is."""
        ...


@runtime_checkable
class Strategy(Protocol):
    """A way of running a task. ``name`` is its mode, upper-case. ``learns`` marks runs that can become traces."""

    name: str
    learns: bool

    async def bid(self, task: Task, run: Run) -> Bid:
        """Say how fit it is for a task and what that would cost. Nothing is changed and no model is asked."""
        ...

    async def run(self, task: Task, run: Run) -> Result:
        """Run a task, through the doors of the run. An LLMOSError becomes a failed result with its words."""
        ...

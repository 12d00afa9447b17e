"""The journal of a run: its events as JSON lines, written before anything else sees them (L2 memory)."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from llmos_core.errors import LLMOSError
from llmos_core.records import AnyEvent, RunFinished

_SHORTEST_SECRET = 12
_TAIL_BYTES = 1 << 20


class Journal(Protocol):
    """Where the events of one run are kept, in order."""

    def append(self, event: AnyEvent) -> None: ...
    async def sync(self) -> None:
        """Return once everything appended is on disk."""
        ...

    def events(self) -> AsyncIterator[AnyEvent]: ...
    def close(self) -> None: ...


class MemoryJournal:
    """A journal that is forgotten with the process."""

    def __init__(self) -> None:
        self._events: list[AnyEvent] = []

    def append(self, event: AnyEvent) -> None:
        self._events.append(event)

    async def sync(self) -> None:
        return None

    async def events(self) -> AsyncIterator[AnyEvent]:
        for event in tuple(self._events):
            yield event

    def close(self) -> None:
        return None


class FileJournal:
    """A journal in a file of its own; each event is one ``write``, so that a crash cuts off at most the last line.

    Args:
        secrets: texts that are replaced by ``***`` on the way to the file. A short one is no secret (a local server
            takes any word), and its letters occur everywhere.

    """

    def __init__(self, path: Path, secrets: Sequence[str] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._secrets = [json.dumps(text)[1:-1].encode() for text in secrets if len(text) >= _SHORTEST_SECRET]
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)

    def append(self, event: AnyEvent) -> None:
        line = event.model_dump_json().encode() + b"\n"
        for secret in self._secrets:
            line = line.replace(secret, b"***")
        view = memoryview(line)
        while view:
            view = view[os.write(self._file, view) :]

    async def sync(self) -> None:
        await anyio.to_thread.run_sync(os.fsync, self._file)

    async def events(self) -> AsyncIterator[AnyEvent]:
        lines = read_events(self.path)
        while (event := await anyio.to_thread.run_sync(next, lines, None)) is not None:
            yield event

    def close(self) -> None:
        os.close(self._file)


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[AnyEvent]:
    return TypeAdapter(AnyEvent)


def _parse(line: bytes, path: Path) -> AnyEvent:
    try:
        return _adapter().validate_json(line)
    except ValidationError as error:
        raise LLMOSError(
            "A journal cannot be read.", f"{path.name} holds a line that is no event: {line[:80]!r}"
        ) from error


def read_events(path: Path) -> Iterator[AnyEvent]:
    """The events of a journal file. A last line cut off by a crash is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _parse(line, path)


def read_outcome(path: Path) -> RunFinished | None:
    """The outcome at the end of a journal file, read from its tail; None for a run that did not end."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        lines = file.read().splitlines()
    if not lines:
        return None
    try:
        event = _adapter().validate_json(lines[-1])
    except ValidationError:
        return None
    return event if isinstance(event, RunFinished) else None

"""The journal of a run: its events as JSON lines, written before anything else sees them (L2 memory)."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

import anyio.to_thread
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from llmos_core.errors import LLMOSError
from llmos_core.events import AnyEvent, Notice, RunFinished

_TAIL_BYTES = 1 << 14


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
        secrets: texts that are replaced by ``***`` on the way to the file.

    """

    def __init__(self, path: Path, secrets: Sequence[str] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._secrets = [json.dumps(text)[1:-1].encode() for text in secrets]
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)

    def append(self, event: AnyEvent) -> None:
        if self._file < 0:
            raise LLMOSError("The run has ended; nothing more can be told of it.", f"{event.type} came too late.")
        line = _serialised(event) + b"\n"
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
        self._file = -1


def _serialised(event: AnyEvent) -> bytes:
    try:
        return event.model_dump_json().encode()
    except PydanticSerializationError:
        # A lone surrogate somewhere in a text: no file can hold it.
        text = json.dumps(event.model_dump(mode="python"), default=str, ensure_ascii=False)
        return text.encode("utf-8", "replace")


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


def read_events(path: Path, *, damaged: bool = False) -> Iterator[AnyEvent]:
    """The events of a journal file. A last line cut off by a crash is left out.

    Raises LLMOSError for a line that is no event; with ``damaged`` a notice stands for it.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                if line.endswith(b"\n"):
                    yield _parse(line, path)
            except LLMOSError:
                if not damaged:
                    raise
                yield Notice(level="error", text=f"Line {number} of the journal cannot be read.")


def _last_line(file: BinaryIO) -> bytes:
    """The last line of a file, found from its end."""
    size = os.fstat(file.fileno()).st_size
    taken = 0
    while True:
        taken = min(size, 4 * taken or _TAIL_BYTES)
        file.seek(size - taken)
        *before, last = file.read(taken).rstrip(b"\n").split(b"\n")
        if before or taken == size:
            return last


def read_outcome(path: Path) -> RunFinished | None:
    """The outcome at the end of a journal file, read from its tail; None for a run that did not end."""
    with path.open("rb") as file:
        last = _last_line(file)
    try:
        event = _adapter().validate_json(last)
    except ValidationError:
        return None
    return event if isinstance(event, RunFinished) else None

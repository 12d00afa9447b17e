"""Traces as Markdown files: ``traces/SIGNATURE/VERSION.md``, never changed once written.

Beside each lies ``VERSION.seal``, one line: the seal of the user who saved it. It covers a text that says what it is
for, the signature, the version and every byte of the file::

    llmos trace
    SIGNATURE/VERSION
    (the file)

The name alone would not do: its 16 digits are enough to see a change, not to withstand somebody who looks for two
files of one name. Versions that may not be followed are sealed too: ``llmos traces verify`` replays them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread

from llmos_core import (
    LLMOSError,
    StoredTrace,
    Trace,
    TraceError,
    clock,
    is_sealed,
    parse_trace,
    render_trace,
    seal,
    trace_version,
    write_atomic,
)
from llmos_plugin_memory.feedback import Feedback, Word
from llmos_plugin_memory.outcomes import OutcomeLog

_MAX_BYTES = 16 << 20
_SEAL_BYTES = 100


class MarkdownTraceStore:
    """A trace store in a directory. A version is named by the digest of its file, so a changed file shows.

    Args:
        root: the workspace's ``memories/`` directory.

    """

    def __init__(self, root: Path) -> None:
        self._traces = root / "traces"
        self._outcomes = OutcomeLog(root / "outcomes.sqlite")
        self._feedback = Feedback(root / "feedback")

    async def save(self, trace: Trace) -> StoredTrace:
        """Raises TraceError for a trace that would not read back as the same record.

        Whoever saves a version vouches for it: it is sealed, again if need be. Where that fails the version is kept
        all the same, since it was paid for; it is ``foreign`` then.
        """
        return await anyio.to_thread.run_sync(self._save, trace)

    def _save(self, trace: Trace) -> StoredTrace:
        data = render_trace(trace).encode()
        if parse_trace(data) != trace:
            raise TraceError("The trace cannot be written.", "Its text does not read back as the same trace.")
        version = trace_version(data)
        path = self._traces / trace.goal_signature / f"{version}.md"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        if not _is_sealed(path, data):
            with suppress(LLMOSError, OSError):  # told by what is given back: it is foreign then
                write_atomic(_seal_of(path), f"{seal(_covered(path, data))}\n".encode())
        return self._load(path)

    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        return await anyio.to_thread.run_sync(self._versions, trace_id)

    def _versions(self, trace_id: str) -> Sequence[StoredTrace]:
        stored = [self._load(path) for path in (self._traces / trace_id).glob("*.md")]
        return sorted(stored, key=_age, reverse=True)

    async def scan(self) -> AsyncIterator[StoredTrace]:
        for directory in await anyio.to_thread.run_sync(self._directories):
            for stored in await self.versions(directory.name):
                yield stored

    def _directories(self) -> Sequence[Path]:
        return sorted(self._traces.iterdir()) if self._traces.is_dir() else ()

    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        await anyio.to_thread.run_sync(self._outcomes.record, version, run_id, clock.now(), success)

    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        """Raises TraceError where nothing can be written."""
        word = Word(run_id=run_id, at=clock.now(), good=good, text=text)
        await anyio.to_thread.run_sync(self._feedback.keep, version, word)

    def _load(self, path: Path) -> StoredTrace:
        trace, fault, intact, foreign = None, None, True, True
        try:
            if not path.is_file():
                raise TraceError(f"The trace {path.name} is no regular file.")
            if path.stat().st_size > _MAX_BYTES:
                raise TraceError(f"The trace {path.name} is too large.", f"It has more than {_MAX_BYTES >> 20} MiB.")
            data = path.read_bytes()
            intact = trace_version(data) == path.stem
            foreign = not _is_sealed(path, data)
            trace = parse_trace(data)
        except (OSError, TraceError) as error:
            fault = " ".join(str(error).split())
        return StoredTrace(
            trace_id=path.parent.name,
            version=path.stem,
            location=str(path),
            trace=trace,
            intact=intact,
            foreign=foreign,
            fault=fault,
            disputed=self._feedback.disputed(path.stem),
            **self._outcomes.counts(path.stem).model_dump(),
        )


def _seal_of(path: Path) -> Path:
    return path.with_suffix(".seal")


def _is_sealed(path: Path, data: bytes) -> bool:
    """Whether this user saved exactly these bytes under this name."""
    place = _seal_of(path)
    try:
        if not place.is_file():
            return False
        with place.open("rb") as file:
            text = file.read(_SEAL_BYTES).decode("ascii", "replace")
    except OSError:
        return False
    return is_sealed(_covered(path, data), text.rstrip("\n"))


def _covered(path: Path, data: bytes) -> bytes:
    return b"llmos trace\n" + os.fsencode(f"{path.parent.name}/{path.stem}") + b"\n" + data


def _age(stored: StoredTrace) -> tuple[datetime, str]:
    written = stored.trace.created_at if stored.trace else datetime.min.replace(tzinfo=UTC)
    return written, stored.version

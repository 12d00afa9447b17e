"""Traces as Markdown files: ``traces/SIGNATURE/VERSION.md``, never changed once written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread

from llmos_core import StoredTrace, Trace, TraceError, clock, parse_trace, render_trace, trace_version, write_atomic
from llmos_plugin_memory.feedback import Feedback, Word
from llmos_plugin_memory.outcomes import OutcomeLog

_MAX_BYTES = 16 << 20


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
        """Raises TraceError for a trace that would not read back as the same record."""
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
        trace, fault, intact = None, None, True
        try:
            if not path.is_file():
                raise TraceError(f"The trace {path.name} is no regular file.")
            if path.stat().st_size > _MAX_BYTES:
                raise TraceError(f"The trace {path.name} is too large.", f"It has more than {_MAX_BYTES >> 20} MiB.")
            data = path.read_bytes()
            intact = trace_version(data) == path.stem
            trace = parse_trace(data)
        except (OSError, TraceError) as error:
            fault = " ".join(str(error).split())
        return StoredTrace(
            trace_id=path.parent.name,
            version=path.stem,
            location=str(path),
            trace=trace,
            intact=intact,
            fault=fault,
            disputed=self._feedback.disputed(path.stem),
            **self._outcomes.counts(path.stem).model_dump(),
        )


def _age(stored: StoredTrace) -> tuple[datetime, str]:
    written = stored.trace.created_at if stored.trace else datetime.min.replace(tzinfo=UTC)
    return written, stored.version

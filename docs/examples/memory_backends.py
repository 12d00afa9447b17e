"""A backend that keeps everything in memory, and forgets it with the process: ``memory = "volatile"`` in the settings.

A real one writes below ``root``, durably, and never blocks the loop: files and databases are used in threads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from llmos_core import MemoryBackend, Note, StoredTrace, Trace, disputed, hookimpl, render_trace, trace_version


class VolatileTraces:
    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], StoredTrace] = {}
        self._counted: set[tuple[str, str]] = set()

    async def save(self, trace: Trace) -> StoredTrace:
        version = trace_version(render_trace(trace).encode())
        new = StoredTrace(trace_id=trace.goal_signature, version=version, location="memory", trace=trace)
        return self._stored.setdefault((new.trace_id, version), new)

    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        return [stored for stored in reversed(self._stored.values()) if stored.trace_id == trace_id]

    async def scan(self) -> AsyncIterator[StoredTrace]:
        for stored in list(self._stored.values()):
            yield stored

    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        old = self._stored.get((trace_id, version))
        if old is None or (version, run_id) in self._counted:
            return
        self._counted.add((version, run_id))
        counts = {"uses": old.uses + 1, "successes": old.successes + success}
        last = {"last_used": datetime.now(UTC), "last_success": success}
        self._stored[trace_id, version] = old.model_copy(update={**counts, **last})

    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        if old := self._stored.get((trace_id, version)):
            word = None if good else disputed(run_id, text)
            self._stored[trace_id, version] = old.model_copy(update={"disputed": word})


class VolatileNotes:
    def __init__(self) -> None:
        self._notes: dict[str, Note] = {}

    async def add(self, note: Note) -> Note:
        self._notes[note.id] = note
        return note

    async def get(self, note_id: str) -> Note | None:
        return self._notes.get(note_id)

    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        wanted = set(text.casefold().split())
        shared = {note.id: len(wanted & set(note.text.casefold().split())) for note in self._notes.values()}
        found = sorted((id for id, words in shared.items() if words), key=lambda note_id: -shared[note_id])
        return [self._notes[id] for id in found[:limit]]

    async def scan(self) -> AsyncIterator[Note]:
        for note in list(self._notes.values()):
            yield note

    async def forget(self, note_id: str) -> bool:
        return self._notes.pop(note_id, None) is not None


class Volatile:
    name = "volatile"

    def __init__(self) -> None:
        self._traces: dict[Path, VolatileTraces] = {}
        self._notes: dict[Path, VolatileNotes] = {}

    def trace_store(self, root: Path) -> VolatileTraces:
        return self._traces.setdefault(root, VolatileTraces())

    def note_store(self, root: Path) -> VolatileNotes:
        return self._notes.setdefault(root, VolatileNotes())


@hookimpl
def llmos_memory_backends() -> Iterable[MemoryBackend]:
    return [Volatile()]

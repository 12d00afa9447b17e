"""A trace store that is forgotten with the process: for systems without a workspace or a memory plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from llmos_core.contracts import StoredTrace, disputed
from llmos_core.records import now
from llmos_core.trace.markdown import render_trace, trace_version
from llmos_core.trace.record import Trace


class MemoryTraceStore:
    """Keeps traces in a dictionary, newest version first."""

    def __init__(self) -> None:
        self._traces: dict[str, list[StoredTrace]] = {}
        self._counted: set[tuple[str, str]] = set()

    async def save(self, trace: Trace) -> StoredTrace:
        version = trace_version(render_trace(trace).encode())
        versions = self._traces.setdefault(trace.goal_signature, [])
        for stored in versions:
            if stored.version == version:
                return stored
        stored = StoredTrace(trace_id=trace.goal_signature, version=version, location="memory", trace=trace)
        versions.insert(0, stored)
        return stored

    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        return tuple(self._traces.get(trace_id, ()))

    async def scan(self) -> AsyncIterator[StoredTrace]:
        for versions in tuple(self._traces.values()):
            for stored in versions:
                yield stored

    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        self._update(trace_id, version, {"disputed": None if good else disputed(run_id, text)})

    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        if (version, run_id) in self._counted:
            return
        self._counted.add((version, run_id))
        for stored in await self.versions(trace_id):
            if stored.version == version:
                counts = {"uses": stored.uses + 1, "successes": stored.successes + success}
                self._update(trace_id, version, {**counts, "last_used": now(), "last_success": success})

    def _update(self, trace_id: str, version: str, fields: Mapping[str, object]) -> None:
        self._traces[trace_id] = [
            stored.model_copy(update=fields) if stored.version == version else stored
            for stored in self._traces.get(trace_id, ())
        ]

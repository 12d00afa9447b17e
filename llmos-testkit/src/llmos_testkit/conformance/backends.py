"""What every memory backend keeps. Its stores have checks of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos_core import MemoryBackend
from llmos_testkit.conformance.base import Conformance
from llmos_testkit.conformance.samples import note, trace
from llmos_testkit.conformance.stage import changes, tree


class MemoryBackendConformance(Conformance):
    """Checks of a :class:`llmos_core.MemoryBackend`. Give it as the fixture ``backend``."""

    @pytest.fixture
    def backend(self) -> MemoryBackend:
        """The backend under test."""
        raise NotImplementedError("give the backend: override the fixture `backend`")

    def test_fulfils_the_contract(self, backend: MemoryBackend) -> None:
        assert isinstance(backend, MemoryBackend), f"{type(backend).__name__} lacks a part of llmos_core.MemoryBackend"

    def test_name_can_be_chosen_in_the_settings(self, backend: MemoryBackend) -> None:
        assert isinstance(backend.name, str), "the name is no text"
        assert backend.name.strip(), "the name is empty"

    def test_making_a_store_writes_nothing(self, backend: MemoryBackend, place: Path) -> None:
        backend.trace_store(place / "memories")
        if hasattr(backend, "note_store"):
            backend.note_store(place / "memories")
        assert not tree(place), f"a system that only lists its plugins would leave: {', '.join(tree(place))}"

    async def test_traces_are_kept_below_the_root(self, backend: MemoryBackend, place: Path) -> None:
        before = tree(place.parent)
        saved = await backend.trace_store(place / "memories").save(trace())
        await backend.trace_store(place / "memories").record(saved.trace_id, saved.version, "run-1", True)
        _check_below(place, before)

    async def test_stores_of_one_root_share_their_traces(self, backend: MemoryBackend, place: Path) -> None:
        saved = await backend.trace_store(place / "memories").save(trace())
        [found] = await backend.trace_store(place / "memories").versions(saved.trace_id)
        assert found.trace == trace(), "the next boot of the system finds another trace"

    async def test_workspaces_are_kept_apart(self, backend: MemoryBackend, place: Path) -> None:
        saved = await backend.trace_store(place / "one").save(trace())
        found = list(await backend.trace_store(place / "other").versions(saved.trace_id))
        assert not found, "a workspace sees the traces of another"

    async def test_notes_are_kept_below_the_root(self, backend: MemoryBackend, place: Path) -> None:
        if not hasattr(backend, "note_store"):
            pytest.skip("it keeps no notes")
        before = tree(place.parent)
        await backend.note_store(place / "memories").add(note())
        _check_below(place, before)

    async def test_notes_of_workspaces_are_kept_apart(self, backend: MemoryBackend, place: Path) -> None:
        if not hasattr(backend, "note_store"):
            pytest.skip("it keeps no notes")
        await backend.note_store(place / "one").add(note())
        assert await backend.note_store(place / "other").get("n1") is None, "a workspace sees the notes of another"


def _check_below(place: Path, before: dict[str, str]) -> None:
    inside = f"{place.name}/memories"
    changed = changes(before, tree(place.parent))
    outside = [path for path in changed if path != inside and not path.startswith(f"{inside}/")]
    assert not outside, f"it wrote outside its root: {', '.join(outside)}"

"""Each check of note stores and of memory backends can fail."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import Note
from llmos_testkit.conformance import MemoryBackendConformance, NoteStoreConformance

from .conformance_parts import assert_each_check_can_fail
from .test_conformance_stores import Traces


class Notes:
    """A small store of notes: one JSON file, read and written as a whole."""

    def __init__(self, root: Path) -> None:
        self.path = root / "notes.json"

    def read(self) -> dict[str, Note]:
        if not self.path.is_file():
            return {}
        return {id: Note.model_validate(note) for id, note in json.loads(self.path.read_text()).items()}

    def write(self, notes: dict[str, Note]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({id: note.model_dump(mode="json") for id, note in notes.items()}))

    async def add(self, note: Note) -> Note:
        await anyio.lowlevel.checkpoint()
        self.write({**self.read(), note.id: note})
        return note

    async def get(self, note_id: str) -> Note | None:
        await anyio.lowlevel.checkpoint()
        return self.read().get(note_id)

    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        await anyio.lowlevel.checkpoint()
        asked = self.words(text)
        shared = [(len(asked & self.words(note.text)), note) for note in self.read().values()]
        found = sorted((pair for pair in shared if pair[0]), key=lambda pair: -pair[0])
        return [note for _, note in found][:limit]

    def words(self, text: str) -> set[str]:
        return set(re.findall(r"\w+", text.lower()))

    async def scan(self) -> AsyncIterator[Note]:
        for note in self.read().values():
            await anyio.lowlevel.checkpoint()
            yield note

    async def forget(self, note_id: str) -> bool:
        await anyio.lowlevel.checkpoint()
        notes = self.read()
        found = notes.pop(note_id, None)
        self.write(notes)
        return found is not None


class SyncAdd(Notes):
    def add(self, note: Note) -> Any:
        return super().add(note)


class Answering(Notes):
    async def add(self, note: Note) -> Note:
        return (await super().add(note)).model_copy(update={"source": "kept"})


class PathIds(Notes):
    async def get(self, note_id: str) -> Note | None:
        return None if "/" in note_id else await super().get(note_id)


class Eager(Notes):
    async def get(self, note_id: str) -> Note | None:
        found = await super().get(note_id)
        return next(iter(self.read().values()), None) if note_id == "n2" and not found else found


class Appending(Notes):
    async def scan(self) -> AsyncIterator[Note]:
        async for note in super().scan():
            yield note
            if note.tags == ("hours",):
                yield note.model_copy(update={"tags": ()})


class CaseSensitive(Notes):
    def words(self, text: str) -> set[str]:
        return {word for word in re.findall(r"\w+", text) if word not in ("the", "The")}


class Unranked(Notes):
    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        found = await super().search(text, limit)
        return sorted(found, key=lambda note: note.id) if text.startswith("zebra") else found


class Boundless(Notes):
    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        return await super().search(text, 100)


class Generous(Notes):
    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        return await super().search("harbour" if text == "quagga" else text, limit)


class Syntax(Notes):
    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        re.compile(text)
        return await super().search(text, limit)


class Remembering(Notes):
    """An index that keeps the words of what was replaced."""

    def write(self, notes: dict[str, Note]) -> None:
        old = self.read()
        self.replaced = {id for id in old.keys() & notes.keys() if old[id].text != notes[id].text}
        super().write(notes)

    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        found = await super().search(text, limit)
        return found or [note for note in self.read().values() if note.id in getattr(self, "replaced", ())]


class Short(Notes):
    async def scan(self) -> AsyncIterator[Note]:
        notes = self.read()
        async for note in super().scan():
            if len(notes) != 3 or note.id != "n2":
                yield note


class NervousNotes(Notes):
    async def scan(self) -> AsyncIterator[Note]:
        before = self.read()
        async for note in super().scan():
            if self.read() != before:
                raise RuntimeError("changed")
            yield note


class Sure(Notes):
    async def forget(self, note_id: str) -> bool:
        await super().forget(note_id)
        return True


class Lingering(Notes):
    async def forget(self, note_id: str) -> bool:
        note = await self.get(note_id)
        answer = await super().forget(note_id)
        if note and len(self.read()) == 1:
            self.ghost = note
        return answer

    async def scan(self) -> AsyncIterator[Note]:
        async for note in super().scan():
            yield note
        if hasattr(self, "ghost"):
            yield self.ghost


class RacingNotes(Notes):
    async def add(self, note: Note) -> Note:
        notes = self.read()
        await anyio.lowlevel.checkpoint()
        self.write({**notes, note.id: note})
        return note


class Forgetful(Notes):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.notes: dict[str, Note] = {}

    def read(self) -> dict[str, Note]:
        return self.notes

    def write(self, notes: dict[str, Note]) -> None:
        self.notes = notes


class DeafNotes(Notes):
    async def forget(self, note_id: str) -> bool:
        try:
            return await super().forget(note_id)
        except anyio.get_cancelled_exc_class():
            return False


def checked_notes(make: Any) -> type:
    class Checked(NoteStoreConformance):
        @pytest.fixture
        def open_store(self, place: Path) -> Any:
            return lambda: make(place)

    return Checked


NOTES: dict[str, Any] = {
    "test_fulfils_the_contract": SyncAdd,
    "test_what_is_added_comes_back": Answering,
    "test_odd_notes_come_back_as_they_were": PathIds,
    "test_an_unknown_id_is_none": Eager,
    "test_a_note_of_the_same_id_takes_the_place_of_the_older": Appending,
    "test_search_finds_shared_words": CaseSensitive,
    "test_search_gives_the_best_first": Unranked,
    "test_search_gives_no_more_than_the_limit": Boundless,
    "test_search_without_shared_words_finds_nothing": Generous,
    "test_any_text_may_be_searched_for": Syntax,
    "test_search_does_not_know_the_replaced": Remembering,
    "test_scan_gives_every_note": Short,
    "test_scan_bears_a_change_meanwhile": NervousNotes,
    "test_forget_says_whether_there_was_one": Sure,
    "test_what_is_forgotten_is_gone": Lingering,
    "test_concurrent_adds_keep_everything": RacingNotes,
    "test_a_second_store_on_the_same_place_sees_all": Forgetful,
    "test_cancellation_passes": DeafNotes,
}


def test_each_check_of_note_stores_can_fail(tmp_path: Path) -> None:
    mutants = {check: checked_notes(make) for check, make in NOTES.items()}
    assert_each_check_can_fail(tmp_path, NoteStoreConformance, checked_notes(Notes), mutants)


class Backend:
    name: Any = "json"

    def trace_store(self, root: Path) -> Any:
        return Traces(root)

    def note_store(self, root: Path) -> Any:
        return Notes(root)


class Nameless(Backend):
    name = " "


class Early(Backend):
    def trace_store(self, root: Path) -> Any:
        root.mkdir(parents=True, exist_ok=True)
        return super().trace_store(root)


class TracesBeside(Backend):
    def trace_store(self, root: Path) -> Any:
        return Traces(root.with_name(f"{root.name}-traces"))


class Volatile(Backend):
    opened = 0

    def trace_store(self, root: Path) -> Any:
        self.opened += 1
        return Traces(root / str(self.opened))


class OneForAll(Backend):
    def trace_store(self, root: Path) -> Any:
        return Traces(root.parent / "memories")


class NotesBeside(Backend):
    def note_store(self, root: Path) -> Any:
        return Notes(root.with_name(f"{root.name}-notes"))


class OneNotebook(Backend):
    def note_store(self, root: Path) -> Any:
        return Notes(root.parent / "memories")


class NoBackend:
    """Lacks a name, but for those who read it."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def checked_backend(make: Any) -> type:
    class Checked(MemoryBackendConformance):
        @pytest.fixture
        def backend(self) -> Any:
            return make()

    return Checked


BACKENDS: dict[str, Any] = {
    "test_fulfils_the_contract": NoBackend,
    "test_name_can_be_chosen_in_the_settings": Nameless,
    "test_making_a_store_writes_nothing": Early,
    "test_traces_are_kept_below_the_root": TracesBeside,
    "test_stores_of_one_root_share_their_traces": Volatile,
    "test_workspaces_are_kept_apart": OneForAll,
    "test_notes_are_kept_below_the_root": NotesBeside,
    "test_notes_of_workspaces_are_kept_apart": OneNotebook,
}


def test_each_check_of_memory_backends_can_fail(tmp_path: Path) -> None:
    mutants = {check: checked_backend(make) for check, make in BACKENDS.items()}
    # What is no backend at all can keep nothing.
    traces = {"test_making_a_store_writes_nothing", "test_traces_are_kept_below_the_root"}
    traces |= {"test_stores_of_one_root_share_their_traces", "test_workspaces_are_kept_apart"}
    also = {"test_fulfils_the_contract": {"test_name_can_be_chosen_in_the_settings", *traces}}
    assert_each_check_can_fail(tmp_path, MemoryBackendConformance, checked_backend(Backend), mutants, also=also)

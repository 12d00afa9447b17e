"""Each check of stores and of memory backends can fail."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from llmos_core import Note, StoredTrace, Trace, disputed
from llmos_testkit.conformance import MemoryBackendConformance, NoteStoreConformance, TraceStoreConformance

from .conformance_parts import assert_each_check_can_fail


class Traces:
    """A small store of traces: a JSON file a version, and beside it its outcomes and the last word on it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "traces"
        self.beside = root / "beside"

    async def save(self, trace: Trace) -> Any:
        await anyio.lowlevel.checkpoint()
        path = self.path(trace)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(trace.model_dump_json(), "utf-8")
        return self.load(path)

    def path(self, trace: Trace) -> Path:
        digest = hashlib.sha256(self.key(trace).encode()).hexdigest()[:16]
        return self.root / trace.goal_signature / f"{digest}.json"

    def key(self, trace: Trace) -> str:
        return trace.model_dump_json()

    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        await anyio.lowlevel.checkpoint()
        found = [self.load(path) for path in (self.root / trace_id).glob("*.json")]
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda s: s.trace.created_at if s.trace else oldest, reverse=True)

    async def scan(self) -> AsyncIterator[StoredTrace]:
        for path in sorted(self.root.rglob("*.json")):
            await anyio.lowlevel.checkpoint()
            yield self.load(path)

    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        await anyio.lowlevel.checkpoint()
        self.note(version, lambda beside: beside["outcomes"].setdefault(run_id, [success, _now()]))

    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        await anyio.lowlevel.checkpoint()
        self.note(version, lambda beside: beside.update(word=None if good else [run_id, text]))

    def note(self, version: str, change: Any) -> None:
        beside = self.about(version)
        change(beside)
        self.beside.mkdir(parents=True, exist_ok=True)
        (self.beside / version).write_text(json.dumps(beside))

    def about(self, version: str) -> dict[str, Any]:
        path = self.beside / version
        about: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"outcomes": {}, "word": None}
        return about

    def load(self, path: Path) -> Any:
        trace, fault = None, None
        try:
            trace = Trace.model_validate_json(path.read_bytes())
        except ValidationError:
            fault = "it is no trace"
        about = self.about(path.stem)
        outcomes = list(about["outcomes"].values())
        return StoredTrace(
            trace_id=path.parent.name,
            version=path.stem,
            location=str(path),
            trace=trace,
            fault=fault,
            uses=len(outcomes),
            successes=sum(success for success, _ in outcomes),
            last_used=outcomes[-1][1] if outcomes else None,
            last_success=outcomes[-1][0] if outcomes else None,
            disputed=disputed(*about["word"]) if about["word"] else None,
        )


def _now() -> str:
    return datetime.now(UTC).isoformat()


class SyncSave(Traces):
    def save(self, trace: Trace) -> Any:
        return super().save(trace)


class SavedOtherwise(Traces):
    async def save(self, trace: Trace) -> Any:
        return (await super().save(trace)).model_copy(update={"location": "somewhere"})


class Trimming(Traces):
    async def save(self, trace: Trace) -> Any:
        return await super().save(trace.model_copy(update={"answer": trace.answer.strip()}))

    def key(self, trace: Trace) -> str:
        return trace.model_dump_json()


class Counting(Traces):
    """Gives each saving another name. Outcomes are kept for the trace, whatever its version."""

    saved = 0

    def key(self, trace: Trace) -> str:
        type(self).saved += 1
        return f"{self.saved}"


class Fresh(Traces):
    async def save(self, trace: Trace) -> Any:
        stored = await super().save(trace)
        return stored.model_copy(update={"uses": 0, "successes": 0})


class Folding(Traces):
    def key(self, trace: Trace) -> str:
        return trace.model_dump_json().casefold()


class Unsorted(Traces):
    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        found = await super().versions(trace_id)
        return list(reversed(found)) if len(found) == 3 and all(not s.uses for s in found) else found


class Mixing(Traces):
    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        own = await super().versions(trace_id)
        return [s async for s in self.scan()] if own and own[0].trace != trace_of_odd(own) else own


def trace_of_odd(own: Sequence[StoredTrace]) -> Any:
    return own[0].trace if len(own) > 1 or (own[0].trace and own[0].trace.inputs) else None


class Failing(Traces):
    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        if not (self.root / trace_id).is_dir():
            raise FileNotFoundError(trace_id)
        return await super().versions(trace_id)


class NewestOnly(Traces):
    async def scan(self) -> AsyncIterator[StoredTrace]:
        seen, goals = set(), len(list(self.root.glob("*")))
        async for stored in super().scan():
            if stored.trace_id not in seen or goals == 1:
                yield stored
            seen.add(stored.trace_id)


class Nervous(Traces):
    async def scan(self) -> AsyncIterator[StoredTrace]:
        paths = set(self.root.rglob("*.json"))
        async for stored in super().scan():
            if set(self.root.rglob("*.json")) != paths:
                raise RuntimeError("the store changed during the scan")
            yield stored


class Naive(Traces):
    def load(self, path: Path) -> Any:
        stored = super().load(path)
        return stored.model_copy(update={"last_used": stored.last_used and stored.last_used.replace(tzinfo=None)})


class Twice(Traces):
    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        outcomes = self.about(version)["outcomes"]
        again = len(outcomes) == 1 and run_id in outcomes and outcomes[run_id][0] is not success
        await super().record(trace_id, version, f"{run_id}-again" if again else run_id, success)


class ForAll(Traces):
    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        for stored in await self.versions(trace_id):
            await super().record(trace_id, stored.version, run_id, success)
        await super().record(trace_id, version, run_id, success)


class Rewriting(Traces):
    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        await super().record(trace_id, version, run_id, success)
        path = self.root / trace_id / f"{version}.json"
        if path.is_file():
            trace = Trace.model_validate_json(path.read_bytes())
            path.write_text(trace.model_copy(update={"usage_count": 1}).model_dump_json())


class Curt(Traces):
    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        await super().feedback(trace_id, version, run_id, good)


class Grudging(Traces):
    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        if not good:
            await super().feedback(trace_id, version, run_id, good, text)


class Blaming(Traces):
    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        for stored in await self.versions(trace_id):
            await super().feedback(trace_id, stored.version, run_id, good, text)
        await super().feedback(trace_id, version, run_id, good, text)


class Inventing(Traces):
    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        await super().record(trace_id, version, run_id, success)
        if not (self.root / trace_id).is_dir():
            (self.root / trace_id).mkdir(parents=True)
            (self.root / trace_id / f"{version}.json").touch()


class Hiding(Traces):
    async def versions(self, trace_id: str) -> Sequence[StoredTrace]:
        return [stored for stored in await super().versions(trace_id) if stored.trace]


class LastWins(Traces):
    """Reads what is there, waits, and writes it back."""

    busy = 0

    async def save(self, trace: Trace) -> Any:
        self.busy += 1
        await anyio.lowlevel.checkpoint()
        lost = self.busy > 3
        stored = await super().save(trace)
        if lost:
            Path(stored.location).unlink(missing_ok=True)
        self.busy -= 1
        return stored


class Racing(Traces):
    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        beside = self.about(version)
        await anyio.lowlevel.checkpoint()
        beside["outcomes"].setdefault(run_id, [success, _now()])
        self.note(version, lambda current: current.update(beside))


class Caching(Traces):
    """Keeps in memory what it once counted."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.cache: dict[str, dict[str, Any]] = {}

    def about(self, version: str) -> dict[str, Any]:
        return self.cache.setdefault(version, {"outcomes": {}, "word": None})


class DeafTraces(Traces):
    async def feedback(self, trace_id: str, version: str, run_id: str, good: bool, text: str = "") -> None:
        try:
            await super().feedback(trace_id, version, run_id, good, text)
        except anyio.get_cancelled_exc_class():
            return


def checked_traces(make: Any) -> type:
    class Checked(TraceStoreConformance):
        @pytest.fixture
        def open_store(self, place: Path) -> Any:
            return lambda: make(place)

    return Checked


TRACES: dict[str, Any] = {
    "test_fulfils_the_contract": SyncSave,
    "test_what_is_saved_comes_back": SavedOtherwise,
    "test_odd_text_comes_back_as_it_was": Trimming,
    "test_saving_twice_gives_the_same_version": Counting,
    "test_saving_again_keeps_the_counts": Fresh,
    "test_other_traces_are_other_versions": Folding,
    "test_versions_come_newest_first": Unsorted,
    "test_goals_are_kept_apart": Mixing,
    "test_an_unknown_goal_has_no_versions": Failing,
    "test_scan_gives_every_version": NewestOnly,
    "test_scan_bears_a_save_meanwhile": Nervous,
    "test_outcomes_are_counted": Naive,
    "test_one_run_is_counted_once": Twice,
    "test_outcomes_belong_to_their_version": ForAll,
    "test_outcomes_change_no_trace": Rewriting,
    "test_a_bad_word_disputes_a_version": Curt,
    "test_a_good_word_ends_a_dispute": Grudging,
    "test_a_word_is_said_of_one_version": Blaming,
    "test_what_is_not_there_cannot_come_into_being": Inventing,
    "test_an_unreadable_version_comes_with_its_fault": Hiding,
    "test_concurrent_saves_keep_everything": LastWins,
    "test_concurrent_outcomes_are_all_counted": Racing,
    "test_a_second_store_on_the_same_place_sees_all": Caching,
    "test_cancellation_passes": DeafTraces,
}


def test_each_check_of_trace_stores_can_fail(tmp_path: Path) -> None:
    # Where one trace has two versions, the outcomes of the first are not those of the second.
    also = {
        "test_saving_twice_gives_the_same_version": {
            "test_saving_again_keeps_the_counts",
            "test_concurrent_saves_keep_everything",
        },
    }
    mutants = {check: checked_traces(make) for check, make in TRACES.items()}
    assert_each_check_can_fail(tmp_path, TraceStoreConformance, checked_traces(Traces), mutants, also=also)


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

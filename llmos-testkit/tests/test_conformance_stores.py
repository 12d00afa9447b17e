"""Each check of trace stores can fail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from llmos_core import StoredTrace, Trace, disputed
from llmos_testkit.conformance import TraceStoreConformance

from .conformance_parts import assert_each_check_can_fail, run_checks


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


class Estranged(Traces):
    def load(self, path: Path) -> Any:
        return super().load(path).model_copy(update={"foreign": True})


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


class LastSaid(Traces):
    """Counts a run once, with what it said last."""

    async def record(self, trace_id: str, version: str, run_id: str, success: bool) -> None:
        await anyio.lowlevel.checkpoint()
        self.note(version, lambda beside: beside["outcomes"].update({run_id: [success, _now()]}))


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
    "test_what_is_saved_is_the_users_own": Estranged,
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


def test_what_a_run_said_first_is_what_counts(tmp_path: Path) -> None:
    went = run_checks(tmp_path, {"last": checked_traces(LastSaid)}).verdicts["last"]
    assert {check for check, outcome in went.items() if outcome == "failed"} == {"test_one_run_is_counted_once"}

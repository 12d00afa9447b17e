"""What every trace store keeps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from llmos_core import StoredTrace, TraceStore, disputed
from llmos_testkit.conformance.base import Conformance, swallows_cancellation
from llmos_testkit.conformance.samples import odd_traces, trace

OpenTraces = Callable[[], TraceStore]
_NO_VERSION = "0" * 16


class TraceStoreConformance(Conformance):
    """Checks of a :class:`llmos_core.TraceStore`. Give the fixture ``open_store``.

    It is a function that opens the store, empty at first; called again it opens a second one on the same place. A store
    whose versions are no files says with :meth:`damage` how one becomes unreadable.
    """

    @pytest.fixture
    def open_store(self, place: Path) -> OpenTraces:
        """Opens the store under test."""
        raise NotImplementedError("give the store: override the fixture `open_store`")

    @pytest.fixture
    def store(self, open_store: OpenTraces) -> TraceStore:
        return open_store()

    def damage(self, stored: StoredTrace) -> None:
        """Make a stored version unreadable behind the store's back."""
        path = Path(stored.location)
        if not path.is_file():
            pytest.skip("its versions are no files: override damage()")
        path.write_bytes(b"\xff\xfe no trace")

    async def test_fulfils_the_contract(self, store: TraceStore) -> None:
        for name in ("save", "versions", "record", "feedback"):
            assert inspect.iscoroutinefunction(getattr(store, name, None)), f"{name} is no async function"
        assert hasattr(store.scan(), "__aiter__"), "scan() gives no async iterator"

    async def test_what_is_saved_comes_back(self, store: TraceStore) -> None:
        wanted = trace()
        saved = await store.save(wanted)
        assert saved.trace == wanted, "save() answers with another trace"
        assert saved.trace_id == wanted.goal_signature, "a trace is found by the signature of its goal"
        assert (saved.intact, saved.fault, saved.refusal) == (True, None, None), f"it may not be followed: {saved}"
        assert (saved.uses, saved.successes, saved.last_used, saved.last_success) == (0, 0, None, None)
        assert list(await store.versions(saved.trace_id)) == [saved], "versions() says another thing than save()"

    async def test_what_is_saved_is_the_users_own(self, open_store: OpenTraces) -> None:
        store = open_store()
        foreign = [(await store.save(trace())).foreign, (await store.save(trace())).foreign]
        assert not any(foreign), "save() calls foreign what this user just saved"
        for opened in (store, open_store()):
            kept = [*await opened.versions(trace().goal_signature), *[stored async for stored in opened.scan()]]
            assert not any(stored.foreign for stored in kept), "what this user saved comes back as foreign"

    async def test_odd_text_comes_back_as_it_was(self, store: TraceStore) -> None:
        for wanted in odd_traces():
            version = (await store.save(wanted)).version
            found = [s for s in await store.versions(wanted.goal_signature) if s.version == version]
            assert [s.trace for s in found] == [wanted], f"it came back as another trace: {wanted.goal_text!r}"

    async def test_saving_twice_gives_the_same_version(self, store: TraceStore) -> None:
        first, second = await store.save(trace()), await store.save(trace())
        assert first.version == second.version, "one trace has two versions"
        assert len(await store.versions(first.trace_id)) == 1, "one trace is kept twice"

    async def test_saving_again_keeps_the_counts(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        await store.record(saved.trace_id, saved.version, "run-1", True)
        again = await store.save(trace())
        assert (again.uses, again.successes) == (1, 1), "a trace that is saved again lost its outcomes"

    async def test_other_traces_are_other_versions(self, store: TraceStore) -> None:
        saved = [await store.save(trace(text=text)) for text in ("a", "A", "a ", "\u00e4", "a\u0308")]
        assert len({s.version for s in saved}) == len(saved), "two traces share a version"

    async def test_versions_come_newest_first(self, store: TraceStore) -> None:
        for number in (1, 2, 3):
            await store.save(trace(number))
        answers = [s.trace.answer for s in await store.versions(trace().goal_signature) if s.trace]
        assert answers == ["Done: 3", "Done: 2", "Done: 1"], f"they came as {answers}"

    async def test_goals_are_kept_apart(self, store: TraceStore) -> None:
        one, other = await store.save(trace()), await store.save(trace(goal="Say goodbye."))
        assert [s.version for s in await store.versions(one.trace_id)] == [one.version]
        assert [s.version for s in await store.versions(other.trace_id)] == [other.version]

    async def test_an_unknown_goal_has_no_versions(self, store: TraceStore) -> None:
        assert list(await store.versions("f" * 16)) == [], "there are versions of a goal that nobody learned"

    async def test_scan_gives_every_version(self, store: TraceStore) -> None:
        saved = [await store.save(trace(number)) for number in (1, 2)]
        saved.append(await store.save(trace(goal="Say goodbye.")))
        found = [(s.trace_id, s.version) async for s in store.scan()]
        assert sorted(found) == sorted((s.trace_id, s.version) for s in saved)

    async def test_scan_bears_a_save_meanwhile(self, store: TraceStore) -> None:
        for number in (1, 2):
            await store.save(trace(number))
        seen = set()
        async for stored in store.scan():
            seen.add(stored.version)
            await store.save(trace(9))
            await store.save(trace(9, goal="Say goodbye."))
        assert len(seen) >= 2, "a version was lost while another was saved"

    async def test_outcomes_are_counted(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        before = datetime.now(UTC).replace(microsecond=0)
        await store.record(saved.trace_id, saved.version, "run-1", True)
        await store.record(saved.trace_id, saved.version, "run-2", False)
        counted = await _only(store, saved)
        assert (counted.uses, counted.successes) == (2, 1), f"counted: {counted.uses} uses, {counted.successes} good"
        assert counted.last_success is False, "the last outcome was a failure"
        assert counted.last_used is not None, "it does not say when it was last used"
        assert counted.last_used.tzinfo is not None, "the time of the last use has no time zone"
        assert counted.last_used >= before, "the time of the last use is not now"

    async def test_one_run_is_counted_once(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        for success in (True, True, False):
            await store.record(saved.trace_id, saved.version, "run-1", success)
        counted = await _only(store, saved)
        assert (counted.uses, counted.successes) == (1, 1), "counting one run twice must have no effect"
        assert counted.last_success is True, "what one run first said counts"

    async def test_outcomes_belong_to_their_version(self, store: TraceStore) -> None:
        used, other = await store.save(trace(1)), await store.save(trace(2))
        await store.record(used.trace_id, used.version, "run-1", True)
        assert (await _only(store, other)).uses == 0, "another version was counted"

    async def test_outcomes_change_no_trace(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        await store.record(saved.trace_id, saved.version, "run-1", True)
        counted = await _only(store, saved)
        assert (counted.trace, counted.intact) == (saved.trace, True), "versions never change"

    async def test_a_bad_word_disputes_a_version(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        await store.feedback(saved.trace_id, saved.version, "run-1", False, "wrong sum")
        assert (await _only(store, saved)).disputed == disputed("run-1", "wrong sum")

    async def test_a_good_word_ends_a_dispute(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        await store.feedback(saved.trace_id, saved.version, "run-1", False, "wrong sum")
        await store.feedback(saved.trace_id, saved.version, "run-2", True)
        assert (await _only(store, saved)).disputed is None, "the last word was good"

    async def test_a_word_is_said_of_one_version(self, store: TraceStore) -> None:
        bad, other = await store.save(trace(1)), await store.save(trace(2))
        await store.feedback(bad.trace_id, bad.version, "run-1", False)
        assert (await _only(store, other)).disputed is None, "another version was disputed"

    async def test_what_is_not_there_cannot_come_into_being(self, store: TraceStore) -> None:
        await store.record("f" * 16, _NO_VERSION, "run-1", True)
        await store.feedback("f" * 16, _NO_VERSION, "run-1", False)
        assert [s async for s in store.scan()] == [], "an outcome made a version"

    async def test_an_unreadable_version_comes_with_its_fault(self, store: TraceStore) -> None:
        whole, broken = await store.save(trace(1)), await store.save(trace(2))
        self.damage(broken)
        found = {s.version: s for s in await store.versions(whole.trace_id)}
        assert found.keys() == {whole.version, broken.version}, "a version is missing"
        assert found[broken.version].trace is None, "what cannot be read has a trace"
        assert found[broken.version].fault, "it does not say why it cannot be read"
        assert found[whole.version].trace == whole.trace, "a whole version suffers from a broken one"

    async def test_concurrent_saves_keep_everything(self, store: TraceStore) -> None:
        async with anyio.create_task_group() as group:
            for number in (1, 2, 3, 1, 2, 3):
                group.start_soon(store.save, trace(number))
        assert len(await store.versions(trace().goal_signature)) == 3

    async def test_concurrent_outcomes_are_all_counted(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(store.record, saved.trace_id, saved.version, f"run-{number % 3}", True)
        assert (await _only(store, saved)).uses == 3, "of six outcomes of three runs, three count"

    async def test_a_second_store_on_the_same_place_sees_all(self, open_store: OpenTraces) -> None:
        first, second = open_store(), open_store()
        saved = await first.save(trace())
        await first.record(saved.trace_id, saved.version, "run-1", True)
        await first.feedback(saved.trace_id, saved.version, "run-1", False)
        wanted = list(await first.versions(saved.trace_id))
        assert list(await second.versions(saved.trace_id)) == wanted, "what was stored is not durable"
        await second.record(saved.trace_id, saved.version, "run-1", True)
        assert (await _only(first, saved)).uses == 1, "one run was counted by two stores"

    async def test_cancellation_passes(self, store: TraceStore) -> None:
        saved = await store.save(trace())
        for work in (
            lambda: store.save(trace(2)),
            lambda: store.versions(saved.trace_id),
            lambda: store.record(saved.trace_id, saved.version, "run-1", True),
            lambda: store.feedback(saved.trace_id, saved.version, "run-1", True),
        ):
            assert not await swallows_cancellation(work), "a cancellation was swallowed"


async def _only(store: TraceStore, wanted: StoredTrace) -> StoredTrace:
    found: Sequence[StoredTrace] = [s for s in await store.versions(wanted.trace_id) if s.version == wanted.version]
    assert len(found) == 1, f"version {wanted.version} is there {len(found)} times"
    return found[0]

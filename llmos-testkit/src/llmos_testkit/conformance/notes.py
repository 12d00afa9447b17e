"""What every note store keeps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from llmos_core import NoteStore
from llmos_testkit.conformance.base import Conformance, swallows_cancellation
from llmos_testkit.conformance.samples import note, odd_notes

OpenNotes = Callable[[], NoteStore]
ODD_QUERIES = (
    "",
    " ",
    '"',
    "'",
    "*",
    "a*",
    "NEAR(",
    "AND OR NOT",
    "(",
    "-",
    "--",
    ":",
    "x:y",
    "%",
    "\\",
    "\0",
    "\U0001f600",
    "^",
)


class NoteStoreConformance(Conformance):
    """Checks of a :class:`llmos_core.NoteStore`. Give the fixture ``open_store``.

    It is a function that opens the store, empty at first; called again it opens a second one on the same place.
    """

    @pytest.fixture
    def open_store(self, place: Path) -> OpenNotes:
        """Opens the store under test."""
        raise NotImplementedError("give the store: override the fixture `open_store`")

    @pytest.fixture
    def store(self, open_store: OpenNotes) -> NoteStore:
        return open_store()

    async def test_fulfils_the_contract(self, store: NoteStore) -> None:
        for name in ("add", "get", "search", "forget"):
            assert inspect.iscoroutinefunction(getattr(store, name, None)), f"{name} is no async function"
        assert hasattr(store.scan(), "__aiter__"), "scan() gives no async iterator"

    async def test_what_is_added_comes_back(self, store: NoteStore) -> None:
        added = await store.add(note())
        assert added == note(), "add() answers with another note"
        assert await store.get("n1") == note(), "get() gives another note than was added"

    async def test_odd_notes_come_back_as_they_were(self, store: NoteStore) -> None:
        for wanted in odd_notes():
            await store.add(wanted)
        for wanted in odd_notes():
            assert await store.get(wanted.id) == wanted, f"it came back as another note: {wanted!r}"

    async def test_an_unknown_id_is_none(self, store: NoteStore) -> None:
        await store.add(note())
        assert await store.get("n2") is None

    async def test_a_note_of_the_same_id_takes_the_place_of_the_older(self, store: NoteStore) -> None:
        await store.add(note())
        younger = note(text="The harbour opens at ten.", tags=("hours",))
        await store.add(younger)
        assert [n async for n in store.scan()] == [younger]
        assert await store.get("n1") == younger

    async def test_search_finds_shared_words(self, store: NoteStore) -> None:
        await store.add(note())
        await store.add(note("n2", "Rain is expected on Friday."))
        found = [n.id for n in await store.search("when does the HARBOUR open")]
        assert found == ["n1"], f"found: {found}"

    async def test_search_gives_the_best_first(self, store: NoteStore) -> None:
        await store.add(note("one", "zebra crossing"))
        await store.add(note("all", "zebra quagga okapi"))
        await store.add(note("two", "zebra quagga drawing"))
        found = [n.id for n in await store.search("zebra quagga okapi")]
        assert found == ["all", "two", "one"], f"they came as {found}"

    async def test_search_gives_no_more_than_the_limit(self, store: NoteStore) -> None:
        for number in range(12):
            await store.add(note(f"n{number}"))
        assert len(await store.search("harbour", limit=3)) == 3
        assert len(await store.search("harbour")) == 10, "the limit is 10 where none is given"

    async def test_search_without_shared_words_finds_nothing(self, store: NoteStore) -> None:
        await store.add(note())
        assert list(await store.search("quagga")) == []

    async def test_any_text_may_be_searched_for(self, store: NoteStore) -> None:
        await store.add(note())
        for text in (*ODD_QUERIES, "long " * 5_000):
            await store.search(text)

    async def test_search_does_not_know_the_replaced(self, store: NoteStore) -> None:
        await store.add(note())
        await store.add(note(text="Closed for good."))
        assert list(await store.search("harbour")) == [], "the older text is found still"

    async def test_scan_gives_every_note(self, store: NoteStore) -> None:
        for number in range(3):
            await store.add(note(f"n{number}"))
        assert sorted([n.id async for n in store.scan()]) == ["n0", "n1", "n2"]

    async def test_scan_bears_a_change_meanwhile(self, store: NoteStore) -> None:
        for number in range(3):
            await store.add(note(f"n{number}"))
        seen = []
        async for found in store.scan():
            seen.append(found.id)
            await store.add(note("later"))
            await store.forget("n2")
        assert {"n0", "n1"} <= set(seen), "a note was lost while others changed"

    async def test_forget_says_whether_there_was_one(self, store: NoteStore) -> None:
        await store.add(note())
        assert await store.forget("n2") is False
        assert await store.forget("n1") is True
        assert await store.forget("n1") is False

    async def test_what_is_forgotten_is_gone(self, store: NoteStore) -> None:
        await store.add(note())
        await store.add(note("n2"))
        await store.forget("n1")
        assert await store.get("n1") is None, "get() knows it still"
        assert [n.id for n in await store.search("harbour")] == ["n2"], "search() finds it still"
        assert [n.id async for n in store.scan()] == ["n2"], "scan() gives it still"

    async def test_concurrent_adds_keep_everything(self, store: NoteStore) -> None:
        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(store.add, note(f"n{number}"))
        assert len([n async for n in store.scan()]) == 8

    async def test_a_second_store_on_the_same_place_sees_all(self, open_store: OpenNotes) -> None:
        first, second = open_store(), open_store()
        await first.add(note())
        assert await second.get("n1") == note(), "what was added is not durable"
        assert [n.id for n in await second.search("harbour")] == ["n1"]
        await second.forget("n1")
        assert await first.get("n1") is None, "what one store forgot, the other knows"

    async def test_cancellation_passes(self, store: NoteStore) -> None:
        for work in (
            lambda: store.add(note()),
            lambda: store.get("n1"),
            lambda: store.search("harbour"),
            lambda: store.forget("n1"),
        ):
            assert not await swallows_cancellation(work), "a cancellation was swallowed"

"""Notes: files that people may touch, and an index that follows them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmos_core import Note
from llmos_plugin_memory.notes import MarkdownNoteStore

pytestmark = pytest.mark.anyio

AT = datetime(2026, 11, 22, tzinfo=UTC)


def note(id: str, text: str, **fields: Any) -> Note:
    return Note(id=id, text=text, created_at=AT, **fields)


@pytest.fixture
def store(tmp_path: Path) -> MarkdownNoteStore:
    return MarkdownNoteStore(tmp_path)


async def found(store: MarkdownNoteStore, text: str) -> list[str]:
    return [note.id for note in await store.search(text)]


async def test_a_note_is_a_readable_file(store: MarkdownNoteStore, tmp_path: Path) -> None:
    await store.add(note("harbour", "It opens at nine.", tags=("hours",)))
    assert (tmp_path / "facts/harbour.md").read_text() == (
        '---\nid: "harbour"\nkind: "fact"\ntags: ["hours"]\ncreated_at: "2026-11-22T00:00:00Z"\n---\n'
        "It opens at nine.\n"
    )


async def test_files_touched_by_hand_are_found(store: MarkdownNoteStore, tmp_path: Path) -> None:
    await store.add(note("harbour", "It opens at nine."))
    assert await found(store, "nine") == ["harbour"]
    page = (tmp_path / "facts/harbour.md").read_text()
    (tmp_path / "facts/ferry.md").write_text(page.replace("harbour", "ferry").replace("nine", "ten"))
    (tmp_path / "facts/harbour.md").unlink()
    assert await found(store, "nine") == []
    assert await found(store, "ten") == ["ferry"]


async def test_changes_in_one_tick_of_the_clock_are_found(store: MarkdownNoteStore, tmp_path: Path) -> None:
    """The directory's time stands still while notes come and go."""
    directory = tmp_path / "facts"
    directory.mkdir()
    now = time.time_ns() + 10**10
    for number in range(5):
        await store.add(note(f"n{number}", f"word{number}"))
        os.utime(directory, ns=(now, now))
        assert await found(store, f"word{number}") == [f"n{number}"]


@pytest.mark.parametrize("damage", [b"no database at all, but long enough to be read as one" * 100, b""])
async def test_a_damaged_index_is_made_anew(store: MarkdownNoteStore, tmp_path: Path, damage: bytes) -> None:
    await store.add(note("harbour", "It opens at nine."))
    assert await found(store, "nine") == ["harbour"]
    (tmp_path / "notes.sqlite").write_bytes(damage)
    assert await found(store, "nine") == ["harbour"]


@pytest.mark.parametrize("text", ["", "---\n", "---\nid: [\n---\nx\n", "plain words", "---\nkind: gossip\n---\nx\n"])
async def test_what_is_no_note_is_passed_over(store: MarkdownNoteStore, tmp_path: Path, text: str) -> None:
    await store.add(note("harbour", "It opens at nine."))
    (tmp_path / "facts/odd.md").write_text(text)
    assert [found.id async for found in store.scan()] == ["harbour"]
    assert await store.get("odd") is None
    assert await found(store, "opens plain words x") == ["harbour"]


async def test_a_fact_that_becomes_an_insight_moves(store: MarkdownNoteStore, tmp_path: Path) -> None:
    await store.add(note("harbour", "It opens at nine."))
    await store.add(note("harbour", "It opens late.", kind="insight"))
    assert [path.parent.name for path in tmp_path.glob("*/*.md")] == ["insights"]
    assert await found(store, "nine") == []


@pytest.mark.parametrize("head", ["[" * 5000, "since: 2024-02-30", "since: !!int ''", "since: !!timestamp x"])
async def test_a_file_that_yaml_cannot_take_is_no_note(store: MarkdownNoteStore, tmp_path: Path, head: str) -> None:
    await store.add(note("harbour", "It opens at nine."))
    (tmp_path / "facts/odd.md").write_text(f"---\n{head}\n---\nIt opens at ten.\n")
    assert await found(store, "opens") == ["harbour"]
    assert [note.id async for note in store.scan()] == ["harbour"]

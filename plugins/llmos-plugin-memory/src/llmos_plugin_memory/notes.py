"""Notes as Markdown files: ``facts/ID.md`` and ``insights/ID.md``, found by their words through an index in SQLite."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import anyio.to_thread

from llmos_core import LLMOSError, Note, write_atomic

_PLACES = {"fact": "facts", "insight": "insights"}
_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_HEAD = ("id", "kind", "tags", "project", "created_at", "source")
_PATIENCE_S = 5.0
_MOST_WORDS = 100
_TICK_NS = 50_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (place TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, tokenize = 'unicode61');
"""
_FIND = """
SELECT files.path FROM words JOIN files ON files.number = words.rowid
WHERE words MATCH ? ORDER BY bm25(words) LIMIT ?
"""


class MarkdownNoteStore:
    """A note store in a directory. The files are the notes; the index is made anew where it is missing or damaged.

    A file that was added, removed or replaced by hand is seen at the next search.

    Args:
        root: the workspace's ``memories/`` directory.

    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._index = root / "notes.sqlite"

    async def add(self, note: Note) -> Note:
        await anyio.to_thread.run_sync(self._add, note)
        return note

    def _add(self, note: Note) -> None:
        path = self._path(note.kind, note.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, _render(note))
        for kind in _PLACES.keys() - {note.kind}:
            self._path(kind, note.id).unlink(missing_ok=True)

    async def get(self, note_id: str) -> Note | None:
        return await anyio.to_thread.run_sync(self._get, note_id)

    def _get(self, note_id: str) -> Note | None:
        notes = (_read(self._path(kind, note_id)) for kind in _PLACES)
        return next((note for note in notes if note is not None), None)

    async def search(self, text: str, limit: int = 10) -> Sequence[Note]:
        return await anyio.to_thread.run_sync(self._search, text, limit)

    def _search(self, text: str, limit: int) -> Sequence[Note]:
        words = list(dict.fromkeys(re.findall(r"\w+", text)))[:_MOST_WORDS]
        if not words or not self._root.is_dir():
            return ()
        query = " OR ".join(f'"{word}"' for word in words)
        try:
            paths = self._find(query, limit)
        except sqlite3.OperationalError as error:
            raise LLMOSError("The notes cannot be searched.", f"{self._index.name}: {error}.") from error
        except sqlite3.DatabaseError:  # it is made of the files, so nothing is lost with it
            self._index.unlink(missing_ok=True)
            paths = self._find(query, limit)
        return [note for path in paths if (note := _read(self._root / path)) is not None]

    def _find(self, query: str, limit: int) -> list[str]:
        with self._connect() as index:
            self._refresh(index)
            return [path for (path,) in index.execute(_FIND, (query, limit))]

    async def scan(self) -> AsyncIterator[Note]:
        for path in await anyio.to_thread.run_sync(self._files):
            note = await anyio.to_thread.run_sync(_read, path)
            if note is not None:
                yield note

    def _files(self) -> Sequence[Path]:
        return [path for place in _PLACES.values() for path in sorted((self._root / place).glob("*.md"))]

    async def forget(self, note_id: str) -> bool:
        return await anyio.to_thread.run_sync(self._forget, note_id)

    def _forget(self, note_id: str) -> bool:
        paths = [path for kind in _PLACES if (path := self._path(kind, note_id)).exists()]
        for path in paths:
            path.unlink(missing_ok=True)
        return bool(paths)

    def _path(self, kind: str, note_id: str) -> Path:
        """Where a note lies. An id is any text: what could be no file's name stands for itself by its digest."""
        digest = hashlib.sha256(note_id.encode("utf-8", "surrogatepass")).hexdigest()
        return self._root / _PLACES[kind] / f"{note_id if _PLAIN_ID.fullmatch(note_id) else f'_{digest[:32]}'}.md"

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._index, timeout=_PATIENCE_S, isolation_level=None)) as index:
            index.executescript(_SCHEMA)
            yield index

    def _refresh(self, index: sqlite3.Connection) -> None:
        """Bring the index up to the files, where a directory changed since it was read last."""
        for place in _PLACES.values():
            directory = self._root / place
            at = directory.stat().st_mtime_ns if directory.is_dir() else 0
            # A change in the same tick of the file system's clock would not show: what is that new is read again.
            settled = time.time_ns() - at > _TICK_NS
            row = index.execute("SELECT at FROM seen WHERE place = ?", (place,)).fetchone()
            if row is not None and row[0] == at:
                continue
            with index:
                index.execute("BEGIN IMMEDIATE")
                self._read_again(index, place)
                index.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (place, at if settled else -1))

    def _read_again(self, index: sqlite3.Connection, place: str) -> None:
        known = {
            path: (state, number)
            for path, state, number in index.execute("SELECT * FROM files WHERE path GLOB ?", (f"{place}/*",))
        }
        for path in (self._root / place).glob("*.md"):
            name, state = f"{place}/{path.name}", _state(path)
            before = known.pop(name, None)
            if before is None or before[0] != state:
                _drop(index, name, before)
                note = _read(path)
                if note is not None:
                    text = " ".join((note.text, *note.tags))
                    number = index.execute("INSERT INTO words (text) VALUES (?)", (text,)).lastrowid
                    index.execute("INSERT INTO files VALUES (?, ?, ?)", (name, state, number))
        for name, before in known.items():
            _drop(index, name, before)


def _state(path: Path) -> str:
    """What differs as soon as a file was written or replaced."""
    try:
        found = path.stat()
    except OSError:
        return "gone"
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _drop(index: sqlite3.Connection, name: str, before: tuple[str, int] | None) -> None:
    if before is not None:
        index.execute("DELETE FROM words WHERE rowid = ?", (before[1],))
        index.execute("DELETE FROM files WHERE path = ?", (name,))


def _render(note: Note) -> bytes:
    """The note as a file."""
    data = note.model_dump(mode="json")
    head = "".join(f"{name}: {json.dumps(data[name], ensure_ascii=True)}\n" for name in _HEAD if data[name])
    return f"---\n{head}---\n{note.text}\n".encode()


def _read(path: Path) -> Note | None:
    """The note in a file; None where none is there, or where what is there is no note (any more)."""
    import yaml

    try:
        # Not split into lines: a note may hold any character that Python takes for the end of one.
        start, head, text = path.read_bytes().decode().split("---\n", 2)
        fields = yaml.safe_load(head)
        if start or not isinstance(fields, dict):
            return None
        return Note.model_validate({"id": path.stem, **fields, "text": text.removesuffix("\n")})
    except (OSError, ValueError, LookupError, AttributeError, RecursionError, yaml.YAMLError):
        return None

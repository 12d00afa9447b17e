"""The log of outcomes: how often each version of a trace was followed, and how it went."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from llmos_core import Record, TraceError

_PATIENCE_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (
    version TEXT NOT NULL, run_id TEXT NOT NULL, at REAL NOT NULL, success INTEGER NOT NULL,
    PRIMARY KEY (version, run_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    version TEXT PRIMARY KEY, uses INTEGER NOT NULL, successes INTEGER NOT NULL,
    last_used REAL NOT NULL, last_success INTEGER NOT NULL
) WITHOUT ROWID;
"""
_COUNTED = "SELECT uses, successes, last_used, last_success FROM counts WHERE version = ?"
_COUNT = """
INSERT INTO counts VALUES (?1, 1, ?2, ?3, ?2) ON CONFLICT (version) DO UPDATE SET
    uses = uses + 1, successes = successes + ?2, last_used = ?3, last_success = ?2
"""


class Counts(Record):
    """Live counts of one version."""

    uses: int = 0
    successes: int = 0
    last_used: datetime | None = None
    last_success: bool | None = None


class OutcomeLog:
    """Outcomes in SQLite: an append-only log, and counts kept with it in one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, version: str, run_id: str, at: datetime, success: bool) -> None:
        """Count an outcome; the same run twice has no effect. Raises TraceError where nothing can be written."""
        self._write(at, partial(_count, version, run_id, at, success))

    def _write(self, at: datetime, write: Callable[[sqlite3.Connection], object]) -> None:
        """Write in one transaction. A damaged log is set aside, and another begun."""
        try:
            self._transact(write)
        except sqlite3.OperationalError as error:
            raise TraceError("The outcome could not be counted.", f"{self._path.name}: {error}.") from error
        except sqlite3.DatabaseError:
            self._path.replace(self._path.with_name(f"{self._path.name}.damaged-{at:%Y%m%d%H%M%S}"))
            self._transact(write)

    def _transact(self, write: Callable[[sqlite3.Connection], object]) -> None:
        with self._connect() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            write(connection)

    def counts(self, version: str) -> Counts:
        """The counts of a version; none where the log cannot be read: it decides nothing, so nothing waits for it."""
        try:
            row = self._row(version)
        except sqlite3.DatabaseError:
            return Counts()
        if row is None:
            return Counts()
        uses, successes, last_used, last_success = row
        used_at = datetime.fromtimestamp(last_used, UTC)
        return Counts(uses=uses, successes=successes, last_used=used_at, last_success=bool(last_success))

    def _row(self, version: str) -> tuple[int, int, float, int] | None:
        if not self._path.exists():
            return None
        with self._connect() as connection:
            row: tuple[int, int, float, int] | None = connection.execute(_COUNTED, (version,)).fetchone()
        return row

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_PATIENCE_S, isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
            yield connection


def _count(version: str, run_id: str, at: datetime, success: bool, connection: sqlite3.Connection) -> None:
    row = (version, run_id, at.timestamp(), int(success))
    if connection.execute("INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?)", row).rowcount:
        connection.execute(_COUNT, (version, int(success), at.timestamp()))

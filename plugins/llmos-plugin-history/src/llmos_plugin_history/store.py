"""What is written down of each undo, so that it can be ended, or taken back, whatever happens in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from llmos_core import LLMOS, FileState, LLMOSError, Record, file_digest, write_atomic

_LATEST = 100
_NAME = "record.json"


class UndoRecord(Record):
    """An undo: the entries it touches, before the run and after it. None where there was nothing.

    ``phase`` says what is under way, or that it is done. ``staging`` is where it writes within the directory.
    """

    run_id: str
    directory: str
    at: datetime
    phase: Literal["undoing", "undone", "returning"]
    staging: str
    before: dict[str, FileState | None]
    after: dict[str, FileState | None]

    @property
    def done(self) -> bool:
        return self.phase == "undone"


class UndoStore:
    """Records of undos, each with the contents it needs to go either way, below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def of(cls, system: LLMOS) -> UndoStore:
        assert system.workspace is not None
        return cls(system.workspace.state / "undo")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one undo works in a workspace at a time. Raises LLMOSError while another does."""
        from filelock import FileLock, Timeout

        self._root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._root / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise LLMOSError("Another undo is at work in this workspace.", fix="Wait for its end.") from error

    def load(self, run_id: str) -> UndoRecord | None:
        """What is written down of the undo of a run. Raises LLMOSError where that is damaged."""
        path = self._root / run_id / _NAME
        try:
            return UndoRecord.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValidationError as error:
            why = f"{path} is damaged; the contents of both states lie beside it."
            fix = f"Take from there what you need, then remove {path.parent}"
            raise LLMOSError(f"What is known of the undo of run {run_id} cannot be read.", why, fix) from error

    def unfinished(self, directory: str) -> Iterator[str]:
        """The runs whose undo in a directory was begun and not ended."""
        for path in sorted(self._root.glob(f"*/{_NAME}")):
            record = self.load(path.parent.name)
            if record is not None and not record.done and record.directory == directory:
                yield record.run_id

    def begin(self, record: UndoRecord, kept: Callable[[str], Path], found: Mapping[str, Path]) -> None:
        """Make all contents safe that the undo needs to go either way; then write down that it begins.

        ``kept`` gives the file that keeps a content for good, ``found`` where it lies else. Raises LLMOSError for a
        content that is in neither.
        """
        self.forget(record.run_id)
        self._prune()
        place = self._root / record.run_id / "contents"
        place.mkdir(parents=True)
        states = (*record.before.values(), *record.after.values())
        for digest in sorted({state.digest for state in states if state is not None and state.digest is not None}):
            if not (_share(kept(digest), place / digest, digest) or _copy(found.get(digest), place / digest, digest)):
                raise LLMOSError("A content that the undo needs is not kept any more.", f"Its SHA-256 is {digest}.")
        _sync(place)
        self.write(record)
        _sync(self._root)

    def content(self, record: UndoRecord, digest: str) -> Path:
        """Where an undo keeps the content with this digest."""
        return self._root / record.run_id / "contents" / digest

    def write(self, record: UndoRecord) -> None:
        """Write down how far an undo is, durably."""
        write_atomic(self._root / record.run_id / _NAME, record.model_dump_json().encode())

    def forget(self, run_id: str) -> None:
        """Remove what is known of an undo: the record first, so that contents without one are of no use."""
        place = self._root / run_id
        (place / _NAME).unlink(missing_ok=True)
        if place.exists():
            shutil.rmtree(place)

    def _prune(self) -> None:
        """Forget the oldest undos that are done, and what is left of some that never began."""
        places = sorted((path for path in self._root.iterdir() if path.is_dir()), reverse=True)
        for number, place in enumerate(places):
            try:
                record = self.load(place.name)
            except LLMOSError:
                continue  # damaged: it is told to whom asks for it, and is no other run's affair
            if record is None or (record.done and number >= _LATEST - 1):
                self.forget(place.name)


def _share(source: Path, target: Path, digest: str) -> bool:
    """Name a kept content a second time, if it is there and intact: that costs no space."""
    if not source.is_file() or file_digest(source) != digest:
        return False
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        return _copy(source, target, digest)
    return True


def _copy(source: Path | None, target: Path, digest: str) -> bool:
    """Copy a content, if it is there and intact."""
    if source is None or not source.is_file():
        return False
    shutil.copyfile(source, target)
    _sync(target)
    if file_digest(target) == digest:
        return True
    target.unlink()
    return False


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

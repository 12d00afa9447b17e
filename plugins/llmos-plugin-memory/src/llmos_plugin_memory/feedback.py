"""What users say of versions: the last word on each, in a file of its own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from llmos_core import Record, TraceError, disputed, write_atomic


class Word(Record):
    """What a user said of a run that made or followed a version."""

    run_id: str
    at: datetime
    good: bool
    text: str = ""


class Feedback:
    """The words of users, below ``root``. A bad one decides; so one that cannot be read counts as bad."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, version: str, word: Word) -> None:
        """Raises TraceError where it cannot be written."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path(version), word.model_dump_json(indent=2).encode())
        except OSError as error:
            raise TraceError("The feedback could not be kept.", f"{error.strerror}: {self._root}.") from error

    def disputed(self, version: str) -> str | None:
        """Why a version is not followed; None if nobody found it bad."""
        try:
            word = Word.model_validate_json(self._path(version).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            return f"what its user said of it cannot be read: {self._path(version).name}"
        return None if word.good else disputed(word.run_id, word.text)

    def _path(self, version: str) -> Path:
        return self._root / f"{version}.json"

"""Runs that are over: their events, their outcome, and the directory before and after them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from llmos_core.errors import UsageError
from llmos_core.events import AnyEvent
from llmos_core.kernel.journal import read_events, read_outcome
from llmos_core.kernel.snapshot import Bounds, capture
from llmos_core.kernel.states import Moment, StateStore
from llmos_core.records import Outcome, TreeState
from llmos_core.workspace import Workspace

_SEARCHED = 10_000
"""How many of the latest runs are looked through for the end of an id."""


class PastRun:
    """A run as it was written down. ``outcome`` is None for one that did not end."""

    def __init__(self, id: str, journal: Path, states: StateStore, bounds: Bounds) -> None:
        self.id = id
        self._journal = journal
        self._states = states
        self._bounds = bounds
        ended = read_outcome(journal)
        self.outcome: Outcome | None = ended.outcome if ended else None

    @property
    def directory(self) -> str | None:
        """Its working directory. A project's own is that of this workspace, wherever that was moved or copied to."""
        if self.outcome is None or self.outcome.directory is None:
            return None
        own = ("projects", self.outcome.project, "output")
        if Path(self.outcome.directory).parts[-3:] == own:
            return str(self._journal.parents[3].resolve().joinpath(*own))
        return self.outcome.directory

    def events(self) -> Iterator[AnyEvent]:
        """Its events, in order; a notice stands for a line that cannot be read."""
        return read_events(self._journal, damaged=True)

    @property
    def start(self) -> TreeState | None:
        """Its working directory before its first call that could change something; None if that is not kept."""
        return self._state("starts")

    @property
    def end(self) -> TreeState | None:
        """Its working directory as it left it; None if that is not kept."""
        return self._state("ends")

    def _state(self, moment: Moment) -> TreeState | None:
        try:
            return self._states.load(self.id, moment)
        except (FileNotFoundError, ValueError):
            return None

    def content(self, digest: str) -> Path:
        """The file that keeps the content with this digest, named by a state."""
        return self._states.content(digest)

    def state_of(self, directory: Path) -> TreeState:
        """The state of a directory now, to be compared."""
        return capture(directory, self._bounds)


def find_run(workspace: Workspace, text: str, states: StateStore, bounds: Bounds) -> PastRun:
    """The run meant by an id, by the last digits of one, or by ``last``. Raises UsageError."""
    journal = find_journal(workspace, text)
    return PastRun(journal.stem, journal, states, bounds)


def find_journal(workspace: Workspace, text: str) -> Path:
    """The journal of the run that is meant, as :func:`find_run` finds it."""
    journals = workspace.journals()
    if text == "last":
        found = list(islice(journals, 1))
    elif (exact := _exact(workspace, text)) is not None:
        found = [exact]
    else:
        found = [path for path in islice(journals, _SEARCHED) if len(text) >= 3 and path.stem.endswith(text)]
    if len(found) != 1:
        what = f"There is no run {text}." if not found else f"{text} ends the ids of {len(found)} runs."
        raise UsageError(what, fix="See the runs with: llmos runs list")
    return found[0]


def _exact(workspace: Workspace, text: str) -> Path | None:
    path = workspace.journal(text) if workspace.is_run_id(text) else None
    return path if path is not None and path.is_file() else None

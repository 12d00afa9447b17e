"""Which files tools may touch: the one place where a path of a call becomes a path of the system.

Writing is for the run's working directory alone. Reading is for that directory and for the workspace, but not for what
rules the agent there. A path is resolved (``..``, symbolic links), judged, and then opened below its root with no link
left in it: what changed in between cannot lead elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llmos_core import Run
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.beneath import Identity, ancestry, open_beneath, open_root
from llmos_plugin_tools.ruling import RULING, SEALED, code_places, lies_in, user_places

READ_RULE = "Tools may read the working directory and the workspace, except its memories/ and state/."
SETTINGS_FILE = "llmos.toml"
WRITE_RULE = (
    "Tools may write in the working directory only, and not in the workspace's memories/, state/, agents/, lessons/ "
    "and plugins/."
)


def real(path: str | Path) -> Path:
    """The path with symbolic links and ``..`` resolved; what does not exist is taken as it is written."""
    return Path(os.path.realpath(path))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call may act: a resolved path that was judged, and the root that it is opened below.

    Opening raises OSError, and Refused if the directory proves to lie in one of the ``sealed`` ones after all: under
    another name (a mount, a file system that ignores case) paths alone do not tell.
    """

    path: Path
    given: str
    root: Path
    sealed: tuple[Path, ...]
    refusal: str

    def open(self, *, make: bool = False) -> int:
        """A descriptor of the directory that the path names; ``make``: made if it is missing. The caller closes it."""
        return self._open(self.path, make)

    def open_parent(self, *, make: bool = False) -> int:
        """The same for the directory that the path's last name is in. The path must not be the root itself."""
        return self._open(self.path.parent, make)

    def identities(self) -> frozenset[Identity]:
        """What the sealed directories are, of those that are there now."""
        found = set()
        for path in self.sealed:
            with suppress(FileNotFoundError, NotADirectoryError):
                status = path.stat()
                found.add((status.st_dev, status.st_ino))
        return frozenset(found)

    def _open(self, path: Path, make: bool) -> int:
        parts = path.parts[len(self.root.parts) :]
        root = open_root(self.root, make=make)
        try:
            directory = open_beneath(root, "/".join(parts), make=make)
        finally:
            os.close(root)
        try:
            if not self.identities().isdisjoint(ancestry(directory, len(parts))):
                raise Refused(self.refusal)
        except BaseException:
            os.close(directory)
            raise
        return directory


def check_in_place(run: Run) -> None:
    """Raises Refused if the working directory, which was resolved when the run began, leads elsewhere now."""
    if not run.is_copy and (leads := real(run.workdir)) != run.workdir:  # no command can put a link above a copy
        what = f"The working directory {run.workdir} leads to {leads} now."
        raise Refused(f"{what} Something has put a link in its place; put it back.")


class Paths:
    """The rules for one run."""

    def __init__(self, workdir: Path, workspace: Path) -> None:
        self.workdir = real(workdir)
        self._given_workdir = workdir
        self._given_workspace = workspace
        self._workspace = real(workspace)

    @classmethod
    def of(cls, run: Run) -> Paths:
        check_in_place(run)
        return cls(run.workdir, run.workspace)

    def readable(self, given: str) -> Place:
        """The place of a path, if it may be read. Raises Refused otherwise."""
        refusal = f"Not allowed to read {given}. {READ_RULE}"
        return self._judged(given, self._absolute(given), (self.workdir, self._workspace), SEALED, refusal)

    def writable(self, given: str) -> Place:
        """The place of a path, if a file may be written there. Raises Refused otherwise, also for a symbolic link."""
        absolute = self._absolute(given)
        place = self._judged(given, absolute, (self.workdir,), RULING, f"Not allowed to write {given}. {WRITE_RULE}")
        if self._is_of_llmos(place.path):
            raise Refused(f"Not allowed to write {given}: there LLM OS keeps its code, or what its user has set.")
        if absolute.is_symlink():
            shown = self.show(place.path)
            raise Refused(f"Refusing to write {given}: it is a symbolic link. Write to {shown} instead.")
        if place.path.name.casefold() == SETTINGS_FILE:  # some file systems ignore case
            raise Refused(f"Not allowed to write {given}: it holds the settings that rule the agent.")
        return place

    def show(self, path: Path) -> str:
        """A resolved path as models see it: relative inside the working directory, else absolute.

        A path outside the working directory is not shown relative to it, for that would differ in a copy elsewhere.
        """
        if lies_in(path, self.workdir):
            shown = str(path.relative_to(self.workdir))
        elif lies_in(path, self._workspace):
            shown = str(self._given_workspace / path.relative_to(self._workspace))
        else:
            shown = str(path)
        return printable(shown)

    def _is_of_llmos(self, path: Path) -> bool:
        """Whether a path in the working directory is of LLM OS itself, or of its user's own files for it."""
        if any(lies_in(path, place) for place in code_places(self.workdir)):
            return True
        # The workspace may lie among the user's files; it has rules of its own.
        mine = lies_in(path, self._workspace)
        places = (place for place in user_places() if not (mine and lies_in(self._workspace, place)))
        return any(lies_in(path, place) for place in places)

    def _absolute(self, given: str) -> Path:
        if "\0" in given:
            raise Refused("A path cannot hold a NUL character.")
        return self._given_workdir / os.path.expanduser(given)  # noqa: PTH111 - an unknown ~user stays as it is

    def _judged(self, given: str, absolute: Path, roots: Sequence[Path], names: Sequence[str], refusal: str) -> Place:
        path = real(absolute)
        root = next((root for root in roots if lies_in(path, root)), None)
        if root is None:
            raise Refused(refusal)
        places = (self._workspace / name for name in names)
        sealed = tuple(real(place) if place.is_symlink() else place for place in places)
        if root == self.workdir and any(lies_in(root, place) for place in sealed):
            sealed = ()  # a scratch copy may itself lie below a sealed directory: inside it, its own rule holds
        if any(lies_in(path, place) for place in sealed):
            raise Refused(refusal)
        return Place(path, given, root, sealed, refusal)


def printable(name: str) -> str:
    """A file name as text, with replacement characters for bytes that are no UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")

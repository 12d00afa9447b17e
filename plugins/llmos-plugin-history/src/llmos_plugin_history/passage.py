"""Bringing a directory to a wanted state, so that it can be ended, or turned back, from wherever it was cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from llmos_core import FileState
from llmos_plugin_history.tree import Tree

States = Mapping[str, FileState | None]
"""Entries by path; None where there shall be nothing."""

_OURS = 0o700
"""What the owner of a directory needs to change its entries."""


class ChangedError(Exception):
    """Something else changed an entry while we worked."""


class Passage:
    """The way of a directory from what it is to what is ``wanted``.

    Everything new is written first, into the directory ``staging`` within the tree, so that a full disk shows before
    anything is changed. What follows are single steps of the file system, each of which leaves an entry as it was or as
    it shall be; only between a directory and something else in its place there is a moment with nothing. Each entry is
    compared just before it is touched.

    Args:
        wanted: with each entry all directories above it, which must be there or be wanted.
        content: gives a file with the content of a digest.

    Raises OSError and ChangedError; what was not wanted otherwise is untouched.
    """

    def __init__(self, tree: Tree, wanted: States, staging: str, content: Callable[[str], Path]) -> None:
        self._tree = tree
        self._wanted = wanted
        self._staging = staging
        self._content = content
        self._downwards = sorted(wanted, key=lambda path: PurePosixPath(path).parts)
        self._now = {path: tree.look(path) for path in self._downwards}

    def go(self) -> None:
        """Do it. Doing it again, after it was cut off anywhere, ends it."""
        self._tree.remove_all(self._staging)
        holders = sorted({above(path) for path in self._downwards if self._differs(path)})
        if holders:
            self._open(holders)
            self._stage()
            self._remove()
            self._place()
            self._set_modes()
            self._tree.remove_all(self._staging)
            self._check()
            for holder in filter(self._is_directory, holders):
                self._tree.sync(holder)

    def _differs(self, path: str) -> bool:
        return self._now[path] != self._wanted[path]

    def _open(self, holders: list[str]) -> None:
        """Make the directories writable in which something changes; they get their modes at the end."""
        for path in {*holders, "."}:
            state = self._now[path]
            if state is not None and state.kind == "directory" and state.mode & _OURS != _OURS:
                self._tree.change_mode(path, state.mode | _OURS)

    def _staged(self) -> Iterator[tuple[str, str, FileState]]:
        """The files and links to be put in place, and where each waits."""
        for number, path in enumerate(self._downwards):
            state = self._wanted[path]
            if state is not None and state.kind != "directory" and self._differs(path) and not self._in_mode(path):
                yield path, f"{self._staging}/{number}", state

    def _in_mode(self, path: str) -> bool:
        """Whether an entry that differs does so in its mode only."""
        now, wanted = self._now[path], self._wanted[path]
        return now is not None and wanted is not None and now.model_copy(update={"mode": wanted.mode}) == wanted

    def _stage(self) -> None:
        for number, (path, place, state) in enumerate(self._staged()):
            if number == 0:
                self._tree.make_directory(self._staging)
            if state.kind == "link":
                self._tree.make_link(place, state.target or "")
            elif self._tree.make_file(place, self._content(state.digest or ""), state.mode, path) != state.digest:
                raise ChangedError(f"the kept content of {path} was damaged")

    def _remove(self) -> None:
        for path in reversed(self._downwards):
            now, wanted = self._now[path], self._wanted[path]
            if now is not None and (wanted is None or _is_directory(now) != _is_directory(wanted)):
                self._expect(path, now)
                self._tree.remove(path, directory=now.kind == "directory")
                self._now[path] = None

    def _place(self) -> None:
        staged = {path: place for path, place, _ in self._staged()}
        for path in self._downwards:
            if path in staged:
                self._expect(path, self._now[path])
                self._tree.move(staged[path], path)
            elif self._now[path] is None and _is_directory(self._wanted[path]):
                self._tree.make_directory(path)

    def _set_modes(self) -> None:
        """Directories last, from below: a mode may close them."""
        for path in reversed(self._downwards):
            wanted, now = self._wanted[path], self._tree.look(path)
            if wanted is None or now is None or now == wanted or now.kind != wanted.kind or now.kind == "link":
                continue
            if wanted.kind == "file":
                self._expect(path, self._now[path])
            self._tree.change_mode(path, wanted.mode)

    def _expect(self, path: str, expected: FileState | None) -> None:
        now = self._tree.look(path)
        if now != expected and not (_is_directory(now) and _is_directory(expected)):
            raise ChangedError(f"{path} was changed meanwhile")

    def _check(self) -> None:
        for path in self._downwards:
            if self._tree.look(path) != self._wanted[path]:
                raise ChangedError(f"{path} did not become what it was")

    def _is_directory(self, path: str) -> bool:
        return _is_directory(self._wanted[path])


def _is_directory(state: FileState | None) -> bool:
    return state is not None and state.kind == "directory"


def above(path: str) -> str:
    """The directory that holds an entry."""
    return str(PurePosixPath(path).parent)

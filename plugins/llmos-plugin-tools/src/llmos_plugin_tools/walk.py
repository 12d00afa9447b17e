"""The files below a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from anyio import from_thread

from llmos_plugin_tools.beneath import LISTING, Identity, identity, open_beneath
from llmos_plugin_tools.paths import Place


class Walk:
    """Yields the paths, relative to ``start``, of the regular files below it, in no particular order.

    Hidden and git-ignored files are included; ``.git`` directories, symbolic links, and what may not be read are not.
    ``unreadable`` counts directories that could not be opened. To be used in a worker thread: cancelling ends it.
    """

    def __init__(self, start: Place) -> None:
        self._start = start
        self.unreadable = 0

    def __iter__(self) -> Iterator[str]:
        """A start that is missing or no directory holds no files."""
        try:
            directory = self._start.open()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            self.unreadable += 1
            return
        try:
            yield from self.below(directory)
        finally:
            os.close(directory)

    def below(self, directory: int) -> Iterator[str]:
        """The same for the start as the caller opened it."""
        sealed = self._start.identities()
        pending = [""]
        while pending:
            from_thread.check_cancelled()
            path = pending.pop()
            prefix = path and path + "/"
            directories, files = self._names(directory, path, sealed)
            pending += [prefix + name for name in directories]
            yield from (prefix + name for name in files)

    def _names(self, root: int, path: str, sealed: frozenset[Identity]) -> tuple[list[str], list[str]]:
        """The names of the directories and of the regular files in a directory."""
        try:
            directory = open_beneath(root, path, LISTING)
        except (FileNotFoundError, NotADirectoryError):  # gone since it was seen
            return [], []
        except OSError:
            self.unreadable += 1
            return [], []
        try:
            if identity(directory) in sealed:
                return [], []
            return _listed(directory)
        finally:
            os.close(directory)


def _listed(directory: int) -> tuple[list[str], list[str]]:
    directories, files = [], []
    # Entries ask for their types through the descriptor, so before it is closed.
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".git":
                    directories.append(entry.name)
            elif entry.is_file(follow_symlinks=False):
                files.append(entry.name)
    return directories, files


def unreadable_note(count: int) -> str:
    """A line that says what a search left out; empty if it left out nothing."""
    return f"\n({count} files or directories could not be read.)" if count else ""

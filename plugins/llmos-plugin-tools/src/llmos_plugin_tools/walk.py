"""The files below a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from anyio import from_thread

from llmos_plugin_tools.paths import Paths


class Walk:
    """Yields the paths, relative to ``start``, of the regular files below it, in no particular order.

    Hidden and git-ignored files are included; ``.git`` directories, symbolic links, and what may not be read are not.
    ``unreadable`` counts directories that could not be opened. To be used in a worker thread: cancelling ends it.
    """

    def __init__(self, start: Path, paths: Paths) -> None:
        self._start = start
        self._paths = paths
        self.unreadable = 0

    def __iter__(self) -> Iterator[str]:
        pending = [""]
        while pending:
            from_thread.check_cancelled()
            below = pending.pop()
            for entry in self._entries(below):
                relative = below + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != ".git" and self._paths.may_read(self._start / relative):
                        pending.append(relative + "/")
                elif entry.is_file(follow_symlinks=False):
                    yield relative

    def _entries(self, below: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._start / below) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):  # gone since it was seen, or never there
            return []
        except OSError:
            self.unreadable += 1
            return []


def unreadable_note(count: int) -> str:
    """A line that says what a search left out; empty if it left out nothing."""
    return f"\n({count} files or directories could not be read.)" if count else ""

"""Removing a directory with all that is in it."""

from __future__ import annotations

import os


def remove(directory: str) -> None:
    """Remove a tree even where a command took the right to write it. Raises OSError, so where something writes yet."""
    os.chmod(directory, 0o700)  # noqa: PTH101 - pathlib is slow to import
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                remove(entry.path)
            else:
                os.unlink(entry.path)  # noqa: PTH108
    os.rmdir(directory)  # noqa: PTH106

"""Removing a directory with all that is in it, so that no name that is swapped meanwhile leads out of it."""

from __future__ import annotations

import os

_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTING = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Tree:
    """A directory that is held by descriptors: ``top``, its own, and ``parent``, that of the one it is in."""

    def __init__(self, parent: int, name: str, top: int) -> None:
        self.parent = parent
        self.name = name
        self.top = top

    @classmethod
    def at(cls, path: str) -> Tree:
        """Raises OSError, so if the path's last name is a link."""
        above, name = os.path.split(path)
        parent = os.open(above, _PLACE)
        try:
            return cls(parent, name, os.open(name, _PLACE, dir_fd=parent))
        except OSError:
            os.close(parent)
            raise

    def remove(self) -> None:
        """Remove all, even where a command took the right to write it. Raises OSError, so where something writes yet.

        What is in a directory comes up into the top one first: however deep it is, two are open at a time.
        """
        _open_up(self.top)
        brand, number = os.urandom(8).hex(), 0
        while names := _left(self.top):
            for name in names:
                place = os.open(name, _PLACE, dir_fd=self.top)
                try:
                    _open_up(place)
                    for inner in _left(place):
                        _open_up_name(inner, place)
                        os.rename(inner, f"{brand}-{number}", src_dir_fd=place, dst_dir_fd=self.top)
                        number += 1
                finally:
                    os.close(place)
                os.rmdir(name, dir_fd=self.top)
        os.rmdir(self.name, dir_fd=self.parent)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.top)
        os.close(self.parent)


def _left(place: int) -> list[str]:
    """Remove the files of a directory; gives the names of its directories."""
    directory = os.open(".", _LISTING, dir_fd=place)
    names = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    names.append(entry.name)
                else:
                    os.unlink(entry.name, dir_fd=directory)
    finally:
        os.close(directory)
    return names


def _open_up_name(name: str, directory: int) -> None:
    """Whoever moves a directory must be able to write it."""
    place = os.open(name, _PLACE, dir_fd=directory)
    try:
        _open_up(place)
    finally:
        os.close(place)


def _open_up(place: int) -> None:
    os.chmod(f"/proc/self/fd/{place}", 0o700)  # noqa: PTH101 - the descriptor itself cannot be changed

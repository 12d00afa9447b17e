"""A directory, read and changed entry by entry, without ever following a link."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmos_core import FileState

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20

OTHER = FileState(kind="file", mode=-1)
"""What no state holds: a socket, a device. It equals no entry that is kept."""


class Tree:
    """The entries below ``root``, by their relative POSIX paths; ``.`` is the root itself.

    A path is walked a directory at a time, and a link on the way is never followed: below one there is nothing.
    Raises OSError where something cannot be read or changed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that holds an entry, open, and the entry's name in it."""
        *parts, name = path.split("/")
        directory = os.open(self.root, _DIRECTORY)
        try:
            for part in parts:
                inner = os.open(part, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = inner
            yield directory, name
        finally:
            os.close(directory)

    def look(self, path: str) -> FileState | None:
        """What is there now; None for nothing."""
        try:
            with self._above(path) as (directory, name):
                return _state(name, directory)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def make_directory(self, path: str) -> None:
        """A new directory, closed to others until it gets its mode."""
        with self._above(path) as (directory, name):
            os.mkdir(name, 0o700, dir_fd=directory)

    def make_link(self, path: str, target: str) -> None:
        with self._above(path) as (directory, name):
            os.symlink(target, name, dir_fd=directory)

    def make_file(self, path: str, content: Path, mode: int, like: str) -> str:
        """A new file with these bytes, on disk when this returns. Gives the digest of what was written.

        It belongs to the owner of ``like``, if that is there.
        """
        owner = self._owner(like)
        with self._above(path) as (directory, name), content.open("rb") as source:
            digest = hashlib.sha256()
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
            with os.fdopen(file, "wb") as target:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
                target.flush()
                made = os.fstat(file)
                if owner is not None and owner != (made.st_uid, made.st_gid):
                    os.fchown(file, *owner)
                os.fchmod(file, mode)  # after all else: writing and a new owner both take setuid bits away
                os.fsync(file)
        return digest.hexdigest()

    def _owner(self, path: str) -> tuple[int, int] | None:
        try:
            with self._above(path) as (directory, name):
                info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return (info.st_uid, info.st_gid) if stat.S_ISREG(info.st_mode) else None

    def move(self, source: str, target: str) -> None:
        """Put an entry in the place of another, in one step."""
        with self._above(source) as (old, old_name), self._above(target) as (new, new_name):
            os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)

    def change_mode(self, path: str, mode: int) -> None:
        with self._above(path) as (directory, name):
            os.chmod(name, mode, dir_fd=directory)

    def remove(self, path: str, *, directory: bool) -> None:
        """Remove a file, a link, or an empty directory."""
        with self._above(path) as (above, name):
            if directory:
                os.rmdir(name, dir_fd=above)
            else:
                os.unlink(name, dir_fd=above)

    def remove_all(self, path: str) -> None:
        """Remove a directory with all it holds, if it is there."""
        with self._above(path) as (directory, name):
            if _exists(name, directory):
                shutil.rmtree(name, dir_fd=directory)

    def sync(self, path: str) -> None:
        """Return once the entries of a directory are on disk."""
        with self._above(f"{path}/.") as (directory, _):
            os.fsync(directory)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _state(name: str, directory: int) -> FileState:
    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        return FileState(kind="link", mode=0, target=os.readlink(name, dir_fd=directory))
    if stat.S_ISDIR(info.st_mode):
        return FileState(kind="directory", mode=mode)
    if not stat.S_ISREG(info.st_mode):
        return OTHER
    with os.fdopen(os.open(name, _FILE, dir_fd=directory), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileState(kind="file", mode=mode, size=info.st_size, digest=digest)

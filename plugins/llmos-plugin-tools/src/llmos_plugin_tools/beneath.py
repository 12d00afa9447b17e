"""Opening what lies below a directory, so that no name leads out of it.

Paths here are relative and plain: no ``..``, and no symbolic link. A link that is met is an error, also one that was
put there a moment ago. So the path that was judged is the path that is opened, or nothing is opened.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""Flags for a directory that is only opened to reach what is below it."""

LISTING = os.O_DIRECTORY | os.O_CLOEXEC | os.O_RDONLY
"""Flags for a directory whose names are read."""

PATH_MAX = 4096
"""The kernel's limit for a path, in bytes; the walk keeps to it too."""

Identity = tuple[int, int]
"""What a file is, whatever it is called: the numbers of its device and inode."""

_OPENAT2 = 437
_MACHINES = ("x86_64", "aarch64")
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_root(path: Path, *, make: bool = False) -> int:
    """A descriptor of a directory by its resolved path. ``make``: one that is gone is made again."""
    if make:
        path.mkdir(parents=True, exist_ok=True)
    return os.open(path, DIRECTORY | os.O_NOFOLLOW)


def open_beneath(root: int, path: str, flags: int = DIRECTORY, *, make: bool = False) -> int:
    """A descriptor of the directory at ``path`` below the directory ``root``; the empty path is ``root`` itself.

    ``flags`` are DIRECTORY or LISTING. ``make``: directories that are missing are made. Raises OSError: ELOOP for a
    symbolic link anywhere in the path, EXDEV for a path that is not plain.
    """
    parts = path.split("/") if path else []
    if not {"", ".", ".."}.isdisjoint(parts):
        raise _error(errno.EXDEV, path)
    if len(os.fsencode(path)) >= PATH_MAX:
        raise _error(errno.ENAMETOOLONG, path)
    if not has_openat2():
        return _walk(root, parts, flags, make=make)
    try:
        return _openat2(root, path or ".", flags)
    except FileNotFoundError:
        if not make:
            raise
        return _walk(root, parts, flags, make=True)


def identity(descriptor: int) -> Identity:
    """What an open file is."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def ancestry(directory: int, depth: int) -> Iterator[Identity]:
    """The identities of a directory and of so many directories above it, as they lie now."""
    yield identity(directory)
    at = directory
    try:
        for _ in range(depth):
            above = os.open("..", DIRECTORY, dir_fd=at)
            if at != directory:
                os.close(at)
            at = above
            yield identity(at)
    finally:
        if at != directory:
            os.close(at)


@cache
def has_openat2() -> bool:
    """Whether the kernel resolves a whole path below a directory (Linux 5.6, and no filter that forbids it)."""
    if sys.platform != "linux" or os.uname().machine not in _MACHINES:
        return False
    try:
        _openat2(-1, ".", DIRECTORY)
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def _openat2(root: int, path: str, flags: int) -> int:
    how = _How(flags=flags, mode=0, resolve=_BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    while True:
        descriptor = int(_libc().syscall(_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))
        if descriptor >= 0:
            return descriptor
        if (number := ctypes.get_errno()) != errno.EINTR:
            raise _error(number, path)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    libc.syscall.restype = ctypes.c_long
    return libc


def _walk(root: int, parts: Sequence[str], flags: int, *, make: bool) -> int:
    """The same without the kernel's help: one name after the other, each in the directory opened before."""
    at = os.open(".", DIRECTORY if parts else flags, dir_fd=root)
    try:
        for number, part in enumerate(parts, 1):
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
            below = _open_name(at, part, flags if number == len(parts) else DIRECTORY)
            os.close(at)
            at = below
    except BaseException:
        os.close(at)
        raise
    return at


def _open_name(directory: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=directory)
    except NotADirectoryError:
        if _is_link(directory, name):  # so Linux calls a link where a directory is asked for
            raise _error(errno.ELOOP, name) from None
        raise


def _is_link(directory: int, name: str) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    return False


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)

"""Whole files: bounded reading, decoding that keeps what it cannot show, and atomic replacement."""

from __future__ import annotations

import codecs
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.paths import Place

MAX_FILE_BYTES = 32 * 1024 * 1024
"""The largest file that is read into memory."""

SNIFFED_BYTES = 8192
"""How much of a file is looked at to tell text from binary data."""

MISSING = "File does not exist."

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a file, with what is needed to write it back as it was. ``lossy``: it held undecodable bytes."""

    content: str
    encoding: str = "utf-8"
    mark: bytes = b""
    lossy: bool = False

    def encode(self, content: str) -> bytes:
        """Other content in the same encoding, behind the same byte-order mark."""
        return self.mark + content.encode(self.encoding)


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in an open directory. What is done with it is done there, and no symbolic link is followed."""

    directory: int
    name: str
    given: str

    def status(self) -> os.stat_result | None:
        """The status of the regular file; None if there is nothing. Raises Refused if there is something else."""
        try:
            status = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        self._check_regular(status)
        return status

    def load(self) -> tuple[bytes, os.stat_result]:
        """The bytes of the regular file, and its status. Raises Refused if it is missing, no file, or too large."""
        if self.status() is None:
            raise Refused(MISSING)
        # O_NONBLOCK, for a FIFO that came in between would block here for ever.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(self.name, flags, dir_fd=self.directory)
        try:
            status = os.fstat(descriptor)
            self._check_regular(status)
            if status.st_size > MAX_FILE_BYTES:
                size = f"{status.st_size} bytes, the limit is {MAX_FILE_BYTES}"
                raise Refused(f"{self.given} is too large ({size}). Use Bash.")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_FILE_BYTES), status
        finally:
            os.close(descriptor)

    def replace(self, data: bytes, old: os.stat_result | None, *, unchanged: bool = False) -> None:
        """Write the file atomically, with the mode bits of ``old``. A crash leaves the old file or the new one.

        ``unchanged``: only if the file is still the one that ``old`` was taken of (None: still missing); else Refused.
        """
        temporary = f".llmos-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(temporary, flags, 0o666, dir_fd=self.directory), "wb") as file:  # noqa: PTH123 - for the flags
                file.write(data)
                file.flush()
                if old is not None:
                    os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
                os.fsync(file.fileno())
            if unchanged and _version(self.status()) != _version(old):
                raise Refused(f"{self.given} was changed by something else just now; nothing was written. Try again.")
            os.replace(temporary, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self.directory)
            raise

    def _check_regular(self, status: os.stat_result) -> None:
        if stat.S_ISLNK(status.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.given)
        if stat.S_ISDIR(status.st_mode):
            raise Refused(f"{self.given} is a directory, not a file.")
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{self.given} is not a regular file.")


@contextmanager
def entry(place: Place, *, make: bool = False) -> Iterator[Entry]:
    """The entry of a file in its directory, which is open meanwhile; ``make``: made if it is missing.

    Raises Refused if the directory is missing, or if the place is no file's.
    """
    if place.path == place.root:
        raise Refused(f"{place.given} is a directory, not a file.")
    try:
        directory = place.open_parent(make=make)
    except FileNotFoundError:
        raise Refused(MISSING) from None
    try:
        yield Entry(directory, place.path.name, place.given)
    finally:
        os.close(directory)


def kind(place: Place) -> int:
    """The type of what lies there, as in ``stat.S_IFMT``; 0 if there is nothing."""
    at_root = place.path == place.root
    try:
        directory = place.open() if at_root else place.open_parent()
        try:
            name = "." if at_root else place.path.name
            return stat.S_IFMT(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return 0
        raise


def _version(status: os.stat_result | None) -> tuple[int, ...] | None:
    return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def decode(data: bytes) -> Text | None:
    """The text of a file: UTF-8, or UTF-16 behind a byte-order mark. None for binary data (NUL bytes at its start)."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    if encoding == "utf-8" and b"\0" in data[:SNIFFED_BYTES]:
        return None
    body = data[len(mark) :]
    try:
        return Text(body.decode(encoding), encoding, mark)
    except UnicodeDecodeError:
        return Text(body.decode(encoding, "replace"), encoding, mark, lossy=True)

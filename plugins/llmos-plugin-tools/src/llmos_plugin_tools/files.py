"""Whole files: bounded reading, decoding that keeps what it cannot show, and atomic replacement."""

from __future__ import annotations

import codecs
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from llmos_plugin_tools.base import Refused

MAX_FILE_BYTES = 32 * 1024 * 1024
"""The largest file that is read into memory."""

SNIFFED_BYTES = 8192
"""How much of a file is looked at to tell text from binary data."""

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


def load(path: Path, given: str) -> bytes:
    """The bytes of a regular file. Raises Refused if it is missing, a directory, no regular file, or too large."""
    try:
        # O_NONBLOCK, for a FIFO without a writer would block here for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Refused("File does not exist.") from None
    try:
        status = os.fstat(descriptor)
        check_regular(status, given)
        if status.st_size > MAX_FILE_BYTES:
            raise Refused(f"{given} is too large ({status.st_size} bytes, the limit is {MAX_FILE_BYTES}). Use Bash.")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES)
    finally:
        os.close(descriptor)


def check_regular(status: os.stat_result, given: str) -> None:
    """Raises Refused unless the status is that of a regular file."""
    if stat.S_ISDIR(status.st_mode):
        raise Refused(f"{given} is a directory, not a file.")
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{given} is not a regular file.")


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


def replace_file(path: Path, data: bytes, given: str) -> bool:
    """Write a file atomically, making its parents and keeping its mode bits. True if it is new.

    A crash leaves the old file or the new one. Raises Refused for what is not a regular file.
    """
    mode = None
    if path.exists():
        status = path.stat()
        check_regular(status, given)
        mode = stat.S_IMODE(status.st_mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".llmos-{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o666), "wb") as file:  # noqa: PTH123 - for the flags
            file.write(data)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return mode is None

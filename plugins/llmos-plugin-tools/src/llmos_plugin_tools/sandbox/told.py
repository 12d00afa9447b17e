"""Calls that the supervisor answers: new processes, and modes, owners and times of files.

Processes may be as many as the limits say. Files are changed in the command's place, inside the writable places only.
Landlock does not restrict these calls. The filter of system calls stops them and tells the supervisor, which takes its
own copy of the arguments, opens what they name, looks where that lies, and makes the call on what it opened.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import sys

from llmos_plugin_tools.sandbox.seccomp import FORKS
from llmos_plugin_tools.sandbox.syscalls import AT_EMPTY_PATH, AT_FDCWD, O_PATH, SYSCALLS, syscall

_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTIFICATION = struct.Struct("=QII iI Q 6Q")
_ANSWER = struct.Struct("=QqiI")

_NAMES = {number: name for name, number in SYSCALLS.items()}
_AT_SYMLINK_NOFOLLOW = 0x100
_NO_MAGIC_LINKS = 2
_LONGEST_PATH = 4096
_PAGE = 4096
_LAST_ADDRESS = (1 << 63) - 1 - _LONGEST_PATH
_NOBODY = 0xFFFFFFFF
_CONTINUE = 1

TYPE_CHECKING = False
if TYPE_CHECKING:  # it is slow to import
    from collections.abc import Callable


class Told:
    """Answers the calls told on ``listener``. ``writable``: resolved paths. ``may_fork``: whether one more may be."""

    def __init__(self, listener: int, writable: list[str], may_fork: Callable[[], bool]) -> None:
        self._listener = listener
        self._writable = [os.fsencode(place) for place in writable]
        self._may_fork = may_fork

    def answer(self) -> None:
        """Take one call and answer it. A process that is gone by then needs no answer."""
        told = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, told)
        except OSError:
            return  # it was interrupted, or is dead
        id, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(told)
        error, flags = 0, 0
        try:
            name = _NAMES[number]
            if name not in FORKS:
                self._change(id, pid, name, arguments)
            elif self._may_fork():
                flags = _CONTINUE
            else:
                error = errno.EAGAIN
        except OSError as failure:
            error = failure.errno or errno.EPERM
        except Exception:  # noqa: BLE001 - whatever a command made of its arguments, the watch over it goes on
            sys.excepthook(*sys.exc_info())
            error = errno.EPERM
        try:
            fcntl.ioctl(self._listener, _SEND, _ANSWER.pack(id, 0, -error, flags))
        except OSError as failure:
            if failure.errno != errno.ENOENT:
                raise

    def _change(self, id: int, pid: int, name: str, given: list[int]) -> None:
        directory, path, flags, values = _meaning(name, given)
        target = self._open(id, pid, directory, path, flags)
        try:
            where = os.readlink(b"/proc/self/fd/%d" % target)  # noqa: PTH115 - bytes
            if not any(where == place or where.startswith(place + b"/") for place in self._writable):
                raise OSError(errno.EPERM, "outside the writable places")
            if name == "utimensat":
                times = _memory(pid, values[0], 32) if values[0] else None
                self._check(id)
                syscall("utimensat", target, b"", times or 0, AT_EMPTY_PATH)
            elif "chown" in name:
                syscall("fchownat", target, b"", *values, AT_EMPTY_PATH)
            else:
                kept = 0o1777 if stat.S_ISREG(os.fstat(target).st_mode) else 0o7777  # no program of another's rights
                os.chmod(b"/proc/self/fd/%d" % target, values[0] & kept)  # noqa: PTH101 - bytes
        finally:
            os.close(target)

    def _open(self, id: int, pid: int, directory: int, path: int, flags: int) -> int:
        """What a call names, opened for its place alone. ``path`` is an address; 0: the descriptor itself."""
        named = _memory(pid, path, _LONGEST_PATH, text=True) if path else b""
        if path and not named and not flags & AT_EMPTY_PATH:
            raise OSError(errno.ENOENT, "an empty path")
        own = _own_descriptor(named)
        if own is not None:
            directory, named = own, b""
        link = b"/proc/%d/cwd" % pid if directory == AT_FDCWD else b"/proc/%d/fd/%d" % (pid, directory)
        try:
            base = os.open(link, O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            raise OSError(errno.EBADF, "no such descriptor") from None
        try:
            self._check(id)
            if not named:
                return os.dup(base)
            opening = O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if flags & _AT_SYMLINK_NOFOLLOW else 0)
            how = struct.pack("=QQQ", opening, 0, _NO_MAGIC_LINKS)
            return syscall("openat2", base, named, how, len(how))
        finally:
            os.close(base)

    def _check(self, id: int) -> None:
        """Raises OSError unless the process still waits for its answer: its number may have passed to another."""
        fcntl.ioctl(self._listener, _IS_VALID, struct.pack("=Q", id))


def _meaning(name: str, given: list[int]) -> tuple[int, int, int, list[int]]:
    """Directory, address of the path (0: none), flags, and what to change it to."""
    if name in {"fchmod", "fchown"}:
        return _number(given[0]), 0, 0, _values(given[1:3])
    if name in {"chmod", "chown", "lchown"}:
        return AT_FDCWD, given[0], _AT_SYMLINK_NOFOLLOW if name == "lchown" else 0, _values(given[1:3])
    if not given[1] and name != "utimensat":
        raise OSError(errno.EFAULT, "no path")
    flags = {"fchmodat": 0, "fchmodat2": given[3], "utimensat": given[3], "fchownat": given[4]}[name]
    return _number(given[0]), given[1], flags, given[2:3] if name == "utimensat" else _values(given[2:4])


def _own_descriptor(path: bytes) -> int | None:
    """Libraries name a file that they have open as ``/proc/self/fd/3``; the number is one of the command's."""
    place, _, number = path.rpartition(b"/fd/")
    process = place.removeprefix(b"/proc/")
    of_process = process != place and (process in (b"self", b"thread-self") or process.isdigit())
    return int(number) if number.isdigit() and (of_process or place == b"/dev") else None


def _number(argument: int) -> int:
    return ctypes.c_int(argument).value


def _values(given: list[int]) -> list[int]:
    """As the kernel reads modes and ids: 32 bits, of which all set mean that an owner stays."""
    return [-1 if value & _NOBODY == _NOBODY else value & _NOBODY for value in given]


def _memory(pid: int, address: int, most: int, *, text: bool = False) -> bytes:
    """Bytes of a process; of a text those before its NUL. Raises OSError."""
    read = b""
    if address > _LAST_ADDRESS:
        raise OSError(errno.EFAULT, "no such address")
    try:
        memory = os.open(b"/proc/%d/mem" % pid, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OSError(errno.ESRCH, "gone") from None
    try:
        while len(read) < most and not (text and b"\0" in read):
            at = address + len(read)
            read += os.pread(memory, min(most - len(read), _PAGE - at % _PAGE), at)  # the next page may not be there
    except OSError:
        raise OSError(errno.EFAULT, "no such address") from None
    finally:
        os.close(memory)
    if not text:
        return read
    if b"\0" not in read:
        raise OSError(errno.ENAMETOOLONG, "no end")
    return read.partition(b"\0")[0]

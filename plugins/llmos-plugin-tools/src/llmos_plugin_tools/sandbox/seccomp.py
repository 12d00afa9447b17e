"""A filter of system calls: what neither Landlock nor namespaces cover, or what no command needs.

Landlock does not see who changes the mode, the owner or the times of a file, nor who connects to a socket in the file
system (a desktop's D-Bus would start any program for us). The first are handed to the supervisor, the second has no
socket to begin with.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from llmos_plugin_tools.sandbox.syscalls import SYSCALLS, syscall

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _BITS, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NR_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16

_ALLOW, _ERRNO, _NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
INTERNET = (AF_INET, AF_INET6, AF_NETLINK)
_STREAM, _SEQPACKET = 1, 5

FORKS = ("fork", "vfork", "clone")
"""The calls that make processes: the supervisor counts, and lets them happen or not."""

TOLD = ("chmod", "fchmod", "chown", "fchown", "lchown", "fchownat", "fchmodat", "fchmodat2", "utimensat")
"""The calls that the supervisor makes in the command's place, where they may be made."""

_REFUSED = {
    # Programs do without these where a kernel has none.
    errno.ENOSYS: (
        *("io_uring_setup", "io_uring_enter", "io_uring_register"),  # it makes calls that no filter sees
        *("add_key", "request_key", "keyctl"),  # the session's keys
        *("utime", "utimes", "futimesat", "setxattrat", "removexattrat", "file_setattr"),  # others do the same
        "openat2",  # it hides the mode of new files in memory
    ),
    errno.ENOTSUP: ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    # Memory and queues of other programs, which have no place in the file system.
    errno.EACCES: (
        *("shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop"),
        *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
    ),
    errno.EPERM: ("open_by_handle_at",),
}

_OF_LANDLOCK = (
    # Landlock takes no part in what happens in other namespaces, and has no word on the second row.
    *("unshare", "setns", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "move_mount", "mount_setattr"),
    "userfaultfd",
)
"""Refused besides where there is no other sandbox; bubblewrap itself needs some of them."""


_NEW_FILES = {"open": (1, 2), "openat": (2, 3), "creat": (None, 1), "mknod": (None, 1), "mknodat": (None, 2)}
"""The calls that make files: which argument says whether they do, and which says the mode."""

_CREATES = 0x400040
_SETUID, _SETGID = 0o4000, 0o2000

_CHMODS = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2}

_CLONE_THREAD = 0x10000
_CLONE_NAMESPACES = 0x7E020000

_IOCTLS = (0x40086602, 0x40046602, 0x401C5820, 0x5412, 0x541C)
"""Attributes of files (twice, and of XFS), and typing into a terminal (twice)."""

_Code = list[tuple[int, int, int, int]]


def counting() -> bytes:
    """A filter that tells of new processes, and leaves all else alone."""
    return _packed([*_start(), *_forks(namespaces=True), _allow()])


def program(families: tuple[int, ...], *, tell: bool) -> bytes:
    """The filter, for the kernel or for ``bwrap --seccomp``.

    Sockets can be made of these families only. With ``tell``, new processes and what changes a file's mode, owner and
    times wait for the supervisor.
    """
    code = _start()
    if tell:
        code += _forks(namespaces=False)
    for name in TOLD if tell else ():
        code += _if_call(name, [(_RETURN, 0, 0, _NOTIFY)])
    for name in _OF_LANDLOCK if tell else ():
        code += _if_call(name, [_answer(errno.EPERM)])
    for error, names in _REFUSED.items():
        for name in names:
            if tell or error != errno.ENOTSUP:
                code += _if_call(name, [_answer(error)])
    for name, (asked, mode) in _NEW_FILES.items():
        made = [] if asked is None else [_argument(asked), (_BITS, 1, 0, _CREATES), _allow()]
        code += _if_call(name, [*made, *_without(mode, _SETUID | _SETGID)])
    for name, mode in () if tell else _CHMODS.items():
        code += _if_call(name, _without(mode, _SETUID))  # a directory may have the other; nothing here tells
    code += _if_call("socket", [_argument(0), *_only(families, errno.EACCES)])
    kind = [_argument(1), (_AND, 0, 0, 0xF), *_only((_STREAM, _SEQPACKET), errno.EACCES)]
    code += _if_call("socketpair", kind)
    code += _if_call("ioctl", [_argument(1), *_none_of(_IOCTLS, errno.EPERM)])
    code += _if_call("prlimit64", _only_read())
    code.append(_allow())
    return _packed(code)


def _start() -> _Code:
    """Calls of another machine's numbers are none; then their number is loaded."""
    arch, x32 = _ARCH[os.uname().machine], os.uname().machine == "x86_64"
    code: _Code = [(_LOAD, 0, 0, _ARCH_AT), (_EQUAL, 1, 0, arch), _answer(errno.ENOSYS), (_LOAD, 0, 0, _NR_AT)]
    return [*code, (_AT_LEAST, 0, 1, _X32), _answer(errno.ENOSYS)] if x32 else code


def _forks(*, namespaces: bool) -> _Code:
    """Threads are none; what hides its flags in memory (clone3) is answered as by a kernel without it."""
    told = (_RETURN, 0, 0, _NOTIFY)
    refused = [] if namespaces else [(_BITS, 0, 1, _CLONE_NAMESPACES), _answer(errno.EPERM)]
    code = _if_call("clone3", [_answer(errno.ENOSYS)])
    for name in FORKS:
        flags = [_argument(0), *refused, (_BITS, 0, 1, _CLONE_THREAD), _allow()] if name == "clone" else []
        code += _if_call(name, [*flags, told])
    return code


def _packed(code: _Code) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def listen(code: bytes) -> int:
    """Put this process under a filter; gives the descriptor on which its calls are told. Raises OSError."""
    text = ctypes.create_string_buffer(code, len(code))
    pointer = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(text)))
    return syscall("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, pointer)


def _answer(error: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | error)


def _allow() -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ALLOW)


def _argument(number: int, half: int = 0) -> tuple[int, int, int, int]:
    """Load a half of an argument; of numbers the kernel takes the low one only."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * number + 4 * half)


def _without(number: int, bits: int) -> _Code:
    """The argument may have none of these bits."""
    return [_argument(number), (_BITS, 0, 1, bits), _answer(errno.EPERM), _allow()]


def _only_read() -> _Code:
    """The limits of another process (argument 0) may be read, but nothing be set (argument 2, a pointer)."""
    return [
        *(_argument(0), (_EQUAL, 0, 1, 0), _allow()),
        *(_argument(2), (_EQUAL, 1, 0, 0), _answer(errno.EPERM)),
        *(_argument(2, half=1), *_only((0,), errno.EPERM)),
    ]


def _if_call(name: str, then: _Code) -> _Code:
    """``then`` must end in an answer."""
    return [(_EQUAL, 0, len(then), SYSCALLS[name]), *then] if name in SYSCALLS else []


def _only(values: tuple[int, ...], error: int) -> _Code:
    tests: _Code = []
    for value in values:
        tests += [(_EQUAL, 0, 1, value), _allow()]
    return [*tests, _answer(error)]


def _none_of(values: tuple[int, ...], error: int) -> _Code:
    tests: _Code = []
    for value in values:
        tests += [(_EQUAL, 0, 1, value), _answer(error)]
    return [*tests, _allow()]

"""System calls that Python has no function for, on the machines whose numbers are known here.

This module and those that the supervisor needs import as little as they can: that process starts with every run.
"""

from __future__ import annotations

import ctypes
import os

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
O_PATH = 0x200000

PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
PR_CAPBSET_DROP = 24

_SAME = {"clone3": 435, "setxattrat": 463, "removexattrat": 466, "file_setattr": 469, "fchmodat2": 452, "openat2": 437}
_SAME |= {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}
_SAME |= {"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446}

_SAME |= {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433}
_SAME |= {"mount_setattr": 442}

_NUMBERS = {
    "x86_64": _SAME
    | {
        "ioctl": 16,
        "clone": 56,
        "fork": 57,
        "vfork": 58,
        "shmget": 29,
        "shmat": 30,
        "shmctl": 31,
        "socket": 41,
        "socketpair": 53,
        "semget": 64,
        "semop": 65,
    }
    | {"semctl": 66, "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "chmod": 90, "fchmod": 91, "chown": 92}
    | {"fchown": 93, "lchown": 94, "capset": 126, "utime": 132, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190}
    | {"removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "semtimedop": 220, "utimes": 235, "mq_open": 240}
    | {"mq_unlink": 241, "add_key": 248, "request_key": 249, "keyctl": 250, "fchownat": 260, "futimesat": 261}
    | {"fchmodat": 268, "utimensat": 280, "prlimit64": 302, "open_by_handle_at": 304, "seccomp": 317}
    | {"unshare": 272, "setns": 308, "userfaultfd": 323}
    | {"open": 2, "creat": 85, "mknod": 133, "openat": 257, "mknodat": 259},
    "aarch64": _SAME
    | {"setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16}
    | {
        "ioctl": 29,
        "fchmod": 52,
        "fchmodat": 53,
        "fchownat": 54,
        "fchown": 55,
        "utimensat": 88,
        "clone": 220,
        "capset": 91,
    }
    | {"mq_open": 180, "mq_unlink": 181, "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "semget": 190}
    | {"semctl": 191, "semtimedop": 192, "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196, "socket": 198}
    | {"socketpair": 199, "add_key": 217, "request_key": 218, "keyctl": 219, "prlimit64": 261, "open_by_handle_at": 265}
    | {"seccomp": 277, "unshare": 97, "setns": 268, "userfaultfd": 282, "mknodat": 33, "openat": 56},
}

SYSCALLS = _NUMBERS.get(os.uname().machine, {})
"""The numbers on this machine; empty on one that is not known here."""

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(name: str, *arguments: object) -> int:
    """What the system call returns. Raises OSError, also where its number is not known."""
    if name not in SYSCALLS:
        raise OSError(38, f"{name} is not known on this machine")
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc.syscall(ctypes.c_long(SYSCALLS[name]), *given))
    if result < 0:
        raise _error(name)
    return result


def prctl(option: int, value: int) -> None:
    """Raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) < 0:
        raise _error("prctl")


def _error(name: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{name}: {os.strerror(number)}")


_KEPT_CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7))
"""What concerns files and ids: chown, dac_override, fowner, fsetid, kill, setgid, setuid."""


def drop_capabilities() -> None:
    """Give up, for good, what root can do beyond its files: mount, trace, load modules, make devices and the like."""
    for number in range(64):
        if not _KEPT_CAPABILITIES >> number & 1 and _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0) < 0:
            break  # EPERM: there are none to give up; EINVAL: there are no more
    kept = _KEPT_CAPABILITIES if os.geteuid() == 0 else 0
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # Of each three: effective, permitted, inheritable. What is not there cannot be kept, which root's may be too.
    data = (ctypes.c_uint32 * 6)(*_present(kept), 0, 0, 0, 0)
    syscall("capset", header, data)


def _present(kept: int) -> tuple[int, int]:
    with open("/proc/self/status", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
        permitted = next(int(line.split()[1], 16) for line in file if line.startswith(b"CapPrm:"))
    return permitted & kept, permitted & kept

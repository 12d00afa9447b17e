"""Landlock: a process gives up, for itself and all it starts, the files and the network it does not need. No root."""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from llmos_plugin_tools.sandbox.syscalls import AT_FDCWD, O_PATH, syscall

_VERSION = 1  # the flag that asks for the version

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = (1 << bit for bit in range(13, 16))

_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_HANDLED_FS = {1: MAKE_SYM * 2 - 1, 2: REFER * 2 - 1, 3: TRUNCATE * 2 - 1, 4: TRUNCATE * 2 - 1, 5: IOCTL_DEV * 2 - 1}
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPED = 1 | 2  # abstract unix sockets, signals

_NO_SYMLINKS = 4  # in a path that is resolved

READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM
WRITE |= REFER | TRUNCATE
USE = READ_FILE | WRITE_FILE | IOCTL_DEV
"""What a device is given."""


def abi() -> int:
    """The version of Landlock that this kernel has; 0 for none."""
    try:
        return syscall("landlock_create_ruleset", 0, 0, _VERSION)
    except OSError:
        return 0


def ruleset(read: list[str], write: list[str], use: list[str], *, network: bool) -> int:
    """A descriptor of rules: these places may be read, written, used as devices; nothing else may be opened.

    They are resolved paths. Those that are not there, or not without a link, are left out. Raises OSError where
    Landlock is not to be had.
    """
    version = abi()
    handled = _HANDLED_FS[min(version, 5)] if version else 0
    net = _BIND_TCP | _CONNECT_TCP if version >= 4 and not network else 0
    sizes = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}
    attributes = struct.pack("=QQQ", handled, net, _SCOPED if version >= 6 else 0)
    rules = syscall("landlock_create_ruleset", attributes, sizes.get(version, 24), 0)
    for places, rights in ((read, READ), (write, WRITE), (use, USE)):
        for place in places:
            _allow(rules, place, rights & handled)
    return rules


def _allow(rules: int, place: str, rights: int) -> None:
    how = struct.pack("=QQQ", O_PATH | os.O_CLOEXEC, 0, _NO_SYMLINKS)
    try:
        opened = syscall("openat2", AT_FDCWD, os.fsencode(place), how, len(how))
    except OSError:
        return  # nothing is allowed there, then; so where a link was put in the place that was judged
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, opened), 12)
        syscall("landlock_add_rule", rules, 1, rule, 0)
    finally:
        os.close(opened)


def restrict(rules: int) -> None:
    """Put this thread, and what it starts, under the rules. It must have given up new privileges. Raises OSError."""
    syscall("landlock_restrict_self", rules, 0)

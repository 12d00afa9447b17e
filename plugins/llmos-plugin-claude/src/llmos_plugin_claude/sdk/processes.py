"""The processes of a CLI, told by a mark in their environment, and how to make sure that none of them is left.

Only where there is a /proc; elsewhere the SDK ends the CLI itself, and nothing ends what the CLI has started.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import anyio
from anyio import to_thread

GRACE_S = 1.0
"""How long processes may take to end after SIGTERM before they get SIGKILL."""

REAP_S = 5.0
"""How long killed processes are waited for; longer only takes what hangs in the kernel."""

_POLL_S = 0.02
_PROC = Path("/proc")
_DEAD = (b"Z", b"X")


def living(name: str, value: str) -> set[int]:
    """The processes that have this variable in their environment, and all that these have started."""
    parents = _parents()
    found = {process for process in parents if _has(process, f"{name}={value}".encode())}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


async def exit_of_child(name: str, value: str) -> None:
    """Returns when our own child that has this variable has ended; waits for ever where that cannot be known."""
    child = await to_thread.run_sync(_child, name, value)
    if child is None or not hasattr(os, "pidfd_open"):
        await anyio.sleep_forever()
        return
    try:
        handle = os.pidfd_open(child)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(handle)
    finally:
        os.close(handle)


def kill(name: str, value: str) -> None:
    """Send SIGKILL to all of them."""
    _signal(living(name, value), signal.SIGKILL)


async def end(name: str, value: str) -> None:
    """End all of them: SIGTERM, a short grace, SIGKILL. Not cancellable; takes some seconds at most."""
    with anyio.CancelScope(shield=True):
        for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, REAP_S)):
            signalled: set[int] = set()
            with anyio.move_on_after(patience):
                while left := await to_thread.run_sync(living, name, value):
                    _signal(left - signalled, number)
                    signalled |= left
                    await anyio.sleep(_POLL_S)
                return


def _child(name: str, value: str) -> int | None:
    parents = _parents()
    return next((process for process in living(name, value) if parents.get(process) == os.getpid()), None)


def _signal(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def _parents() -> Mapping[int, int]:
    """Every process that is no zombie, with its parent."""
    parents = {}
    for place in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, parent = place.read_bytes().rpartition(b")")[2].split()[:2]
            if state not in _DEAD:
                parents[int(place.parent.name)] = int(parent)
    return parents


def _has(process: int, entry: bytes) -> bool:
    try:
        return entry in (_PROC / str(process) / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile, or is somebody else's
        return False

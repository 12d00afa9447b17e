"""Signals: the first ends a run in good order, the second ends everything at once."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from llmos_core.errors import ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAME_S = 0.1
"""Signals so soon after the first are the same wish: ``timeout``, ``make`` and others pass on what was sent already."""

_PROC = Path("/proc")
_ROUNDS = 50


@contextmanager
def stop_signals(stop: Callable[[int], None]) -> Iterator[None]:
    """While the context is open, the first signal calls ``stop`` on the event loop; a later one ends at once.

    A terminal that is closed sends several SIGHUP, so those never end at once. Under ``nohup`` SIGHUP stays ignored.
    """
    loop, first = asyncio.get_running_loop(), 0.0

    def handle(number: int, frame: Any) -> None:
        nonlocal first
        if not first:
            first = time.monotonic()
            loop.call_soon_threadsafe(stop, number)
        elif number != signal.SIGHUP and time.monotonic() - first > _SAME_S:
            end_at_once()

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        if number != signal.SIGHUP or before[number] != signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_at_once() -> NoReturn:
    """End every process below this one, and this one, whatever they do."""
    kill_descendants()
    with suppress(OSError):  # without a reader there is nothing to tell
        if select.select([], [2], [], 0)[1]:  # a terminal that was stopped would hold us
            os.write(2, b"\nEnded at once. See what was done: llmos runs list\n")
    os._exit(ExitCode.INTERRUPTED)


def kill_descendants() -> None:
    """Kill the processes below this one, and all others of the sessions they lead, until none is left."""
    ours, sessions = os.getpid(), set[int]()
    for _ in range(_ROUNDS):
        processes = _processes()
        below = _below(ours, processes)
        sessions |= {processes[pid][1] for pid in below} - {os.getsid(0)}
        doomed = below | {pid for pid, (_, session) in processes.items() if session in sessions}
        if not doomed:
            return
        for pid in doomed:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _below(root: int, processes: dict[int, tuple[int, int]]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    found, waiting = set[int](), [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and session of every living process. Without /proc ``ps`` is asked, and groups stand for sessions."""
    if not (_PROC / "self/stat").exists():
        return _listed()
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                state, parent, _, session = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:4]
                if state not in (b"Z", b"X"):
                    found[int(entry.name)] = int(parent), int(session)
    return found


def _listed() -> dict[int, tuple[int, int]]:
    asked = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=False)
    rows = (line.split() for line in asked.stdout.splitlines())
    return {int(pid): (int(parent), int(group)) for pid, parent, group, *state in rows if state[0][:1] != "Z"}

"""Running a process so that nothing of it is left: its own session, bounded output, ended whole."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio import CancelScope, create_task_group, move_on_after, open_process, to_thread, wait_readable

GRACE_S = 1.0
"""How long processes may take to end after SIGTERM before they get SIGKILL."""

REAP_S = 5.0
"""How long killed processes are waited for; longer only takes what hangs in the kernel."""

POLL_S = 0.01
CHUNK = 65_536
PIPE_CHUNKS = 16
"""A pipe holds at most this many chunks (1 MiB, the largest that Linux lets a user make it)."""

PROC = Path("/proc")


@dataclass(slots=True)
class Capture:
    """The first and the last ``keep`` bytes of a stream, and how many there were in all."""

    keep: int
    total: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)

    def add(self, chunk: bytes) -> None:
        self.total += len(chunk)
        self._digest.update(chunk)
        room = self.keep - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * self.keep:
            del self._tail[: -self.keep]

    @property
    def digest(self) -> str:
        """SHA-256 of the whole stream, as hex digits."""
        digest: str = self._digest.hexdigest()
        return digest

    @property
    def complete(self) -> bool:
        return self.total == len(self._head) + len(self._tail)

    @property
    def head(self) -> bytes:
        return bytes(self._head)

    @property
    def tail(self) -> bytes:
        return bytes(self._tail)


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended, or was ended at its timeout. ``exit_code`` is the shell's: 128 + N after signal N.

    ``stopped`` names the limit that it was ended for, if one was.
    """

    exit_code: int
    timed_out: bool
    output: Capture
    stopped: str | None = None


async def run_process(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    keep: int,
    stdin: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run a command to its end; its standard output and error are captured as one stream.

    However this ends (exit, timeout, cancellation), every process of the command's session is ended before it returns:
    SIGTERM, a short grace, SIGKILL. Output that was written by then is kept; a pipe held open by what escaped the
    session is not waited for. Raises OSError if the command cannot be started.
    """
    output = Capture(keep)
    # Our own pipe: that of asyncio is not readable without waiting, and holds up wait() in some versions of Python.
    reader, writer = os.pipe()
    try:
        os.set_blocking(reader, False)
        try:
            with CancelScope(shield=True):  # a half-started process would have no owner
                process = await open_process(
                    command,
                    stdin=stdin,
                    stdout=writer,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=env,
                    start_new_session=True,
                    pass_fds=pass_fds,
                )
        finally:
            os.close(writer)
        try:
            with move_on_after(timeout_s) as clock:
                async with create_task_group() as tasks:
                    tasks.start_soon(pump, reader, output)
                    await process.wait()
                    tasks.cancel_scope.cancel()
        finally:
            with CancelScope(shield=True):
                await _end_session(process.pid)
                await process.aclose()
        drain(reader, output)
    finally:
        os.close(reader)
    status = process.returncode or 0
    return Finished(128 - status if status < 0 else status, clock.cancelled_caught, output)


async def pump(reader: int, output: Capture) -> None:
    """Take what comes out of a pipe, to its end."""
    while True:
        await wait_readable(reader)
        chunk = os.read(reader, CHUNK)
        if not chunk:
            return
        output.add(chunk)


def drain(reader: int, output: Capture) -> None:
    """Take what is in the pipe now, without waiting for its end."""
    with suppress(BlockingIOError):
        for _ in range(PIPE_CHUNKS):
            chunk = os.read(reader, CHUNK)
            if not chunk:
                return
            output.add(chunk)


async def _end_session(session: int) -> None:
    for number, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, REAP_S)):
        signalled: set[int] = set()
        with move_on_after(patience):
            while living := await to_thread.run_sync(_living, session):
                for process in living - signalled:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(process, number)
                signalled |= living
                await anyio.sleep(POLL_S)


def _living(session: int) -> set[int]:
    """The processes of a session that still run. Without /proc: its process group, as a negative number."""
    if not PROC.is_dir():
        return {-session} if _exists(-session) else set()
    processes = (int(name) for name in os.listdir(PROC) if name.isdigit())  # noqa: PTH208 - names only, and fast
    return {process for process in processes if _session_of(process) == session and not _is_zombie(process)}


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, PermissionError):  # macOS answers "not permitted" for a group of zombies
        return False
    return True


def _session_of(process: int) -> int | None:
    try:
        return os.getsid(process)
    except (ProcessLookupError, PermissionError):
        return None


def _is_zombie(process: int) -> bool:
    try:
        status = (PROC / str(process) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(b")")[2].split()[0] in (b"Z", b"X")

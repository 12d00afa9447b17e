"""Our side of the supervisor: starting it, having it run commands, and ending it."""

from __future__ import annotations

import array
import marshal
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from anyio import (
    CancelScope,
    Lock,
    create_task_group,
    move_on_after,
    open_process,
    sleep,
    to_thread,
    wait_readable,
    wait_writable,
)
from anyio.abc import Process

from llmos_plugin_tools import process as processes
from llmos_plugin_tools.process import Capture, Finished, drain, pump
from llmos_plugin_tools.sandbox.trees import Tree
from llmos_plugin_tools.settings import SandboxSettings

_ROOT = Path(__file__).parents[2]
_START = "import sys; sys.path.append(sys.argv.pop(1)); from llmos_plugin_tools.sandbox.supervisor import main; main()"
_END_S = 10.0
"""How long the supervisor may take to end what is left: its own bounds are shorter."""


@dataclass(frozen=True, slots=True)
class Confined:
    """How a command is confined. ``kind`` as the supervisor knows it: ``landlock``, ``bubblewrap``, ``none``."""

    kind: str
    read: list[str]
    write: list[str]
    use: list[str]
    network: bool
    families: list[int]


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The running process. ``own`` is the run's own directory, which goes with it."""

    process: Process
    requests: socket.socket
    own: Path
    settings: SandboxSettings
    _turn: Lock = field(default_factory=Lock)

    async def run(
        self,
        command: Sequence[str],
        confined: Confined,
        *,
        cwd: Path,
        env: Mapping[str, str],
        timeout_s: float,
        keep: int,
        report: int,
    ) -> Finished:
        """Run a command to its end; its standard output and error are captured as one stream.

        However this ends (exit, timeout, cancellation), every process that the command left, in whatever session, is
        ended before it returns. ``report`` becomes its descriptor ``REPORT_FD``. Raises OSError if the command cannot
        be started.
        """
        request = {
            **asdict(confined),
            "argv": list(command),
            "cwd": str(cwd),
            "env": dict(env),
            "grace_s": processes.GRACE_S,
            "limits": self.settings.limits(),
        }
        output = Capture(keep)
        reader, writer = os.pipe()
        control, answer = None, b""
        try:
            os.set_blocking(reader, False)
            try:
                control = await self._start(request, writer, report)
            finally:
                os.close(writer)
            with move_on_after(timeout_s) as clock:
                async with create_task_group() as tasks:
                    tasks.start_soon(pump, reader, output)
                    answer = await _told(control)
                    tasks.cancel_scope.cancel()
            if clock.cancelled_caught:
                answer = await self._end(control)
            drain(reader, output)
        finally:
            if control is not None:
                if not answer:
                    await self._end(control)
                control.close()
            os.close(reader)
        return _finished(answer, output, timed_out=clock.cancelled_caught)

    async def _start(self, request: dict[str, Any], stdout: int, report: int) -> socket.socket:
        """Send a request. The socket that comes back is the hold on the command: closed, it ends."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open(os.memfd_create("request"), "w+b") as file, open(os.devnull, "rb") as stdin:  # noqa: ASYNC230, PTH123
            ours.setblocking(False)
            marshal.dump(request, file)
            file.seek(0)
            fds = array.array("i", [file.fileno(), theirs.fileno(), stdin.fileno(), stdout, report])
            try:
                async with self._turn:  # one task at a time can wait for a socket
                    await wait_writable(self.requests)
                    self.requests.sendmsg([b"r"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            except BaseException:
                ours.close()
                raise
        return ours

    async def _end(self, control: socket.socket) -> bytes:
        """End the command and all it left, if that has not happened; gives the last that was told."""
        with CancelScope(shield=True), move_on_after(_END_S):
            try:
                control.shutdown(socket.SHUT_WR)
            except OSError:
                return b""  # the other side is gone: it has ended
            return await _told(control)
        return b""


async def _told(control: socket.socket) -> bytes:
    await wait_readable(control)
    try:
        return control.recv(256)
    except ConnectionResetError:
        return b""


def _finished(answer: bytes, output: Capture, *, timed_out: bool) -> Finished:
    words = answer.decode().split()
    if words[:1] == ["failed"]:
        number = int(words[1])
        raise OSError(number, os.strerror(number))
    status = int(words[1]) if words else -9  # the supervisor itself was killed
    stopped = words[2] if len(words) > 2 else None
    return Finished(128 - status if status < 0 else status, timed_out, output, stopped)


@asynccontextmanager
async def supervisor(settings: SandboxSettings) -> AsyncIterator[Supervisor]:
    """A supervisor with a directory of its own for the run, removed at the end. Raises OSError."""
    own, tree = await to_thread.run_sync(_own_directory)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, closing(tree):
        ours.setblocking(False)
        with theirs, CancelScope(shield=True):  # a half-started process would have no owner
            process = await _open(theirs, tree)
        try:
            yield Supervisor(process, ours, own, settings)
        finally:
            ours.close()
            with CancelScope(shield=True):
                with move_on_after(_END_S):
                    await process.wait()
                await process.aclose()
                await _clear(own, tree)


async def _open(requests: socket.socket, own: Tree) -> Process:
    held = [str(requests.fileno()), str(own.parent), own.name, str(own.top)]
    return await open_process(
        [sys.executable, "-I", "-S", "-c", _START, str(_ROOT), *held],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},  # it holds no credential, and what reads its environment finds none
        cwd="/",
        start_new_session=True,
        pass_fds=[requests.fileno(), own.parent, own.top],
    )


def _own_directory() -> tuple[Path, Tree]:
    """It is held from now on: what may be put in its place later is not removed."""
    own = os.path.realpath(tempfile.mkdtemp(prefix="llmos-run-"))
    tree = Tree.at(own)
    for name in ("home", "tmp"):
        os.mkdir(name, 0o700, dir_fd=tree.top)
    return Path(own), tree


async def _clear(own: Path, tree: Tree) -> None:
    """Remove what a killed supervisor left, once the commands that end with it write there no more."""
    with move_on_after(_END_S):
        while not await to_thread.run_sync(_is_gone, own, tree):  # noqa: ASYNC110 - the file system sends no event
            await sleep(processes.POLL_S)


def _is_gone(own: Path, tree: Tree) -> bool:
    with suppress(OSError):
        tree.remove()
    return not own.exists()

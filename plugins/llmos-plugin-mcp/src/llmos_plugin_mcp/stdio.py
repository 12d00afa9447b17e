"""A server as a process of ours: messages as lines over its pipes, and nothing left of it at the end.

The ``mcp`` package has a transport like this; it leaves the children of a wrapper behind that ends in good time.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import IO

import anyio
from anyio import (
    CancelScope,
    create_memory_object_stream,
    create_task_group,
    move_on_after,
    open_process,
    wait_readable,
)
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

_CHUNK = 65_536
_LONGEST_MESSAGE = 64 << 20
GOES_S = 2.0
"""How long a server that served may take to end once its input is closed, and once it got SIGTERM."""
_NEVER_READY_S = 0.5
"""The same for one that was never ready."""
_REAP_S = 2.0
_LONGEST_LOG = 1 << 20
"""How many bytes of standard error are kept; of more, the last half."""
_POLL_S = 0.01

_Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


class ServerProcess:
    """A process that is spoken to.

    ``ended`` is set when it says nothing any more. ``patience_s`` is how long it may take to end.
    """

    def __init__(self, process: Process, output: int, errors: int, log: IO[bytes]) -> None:
        self._process = process
        self._output = output
        self._errors = errors
        self._log = log
        self.ended = anyio.Event()
        self.patience_s = _NEVER_READY_S

    async def exit_code(self) -> int | None:
        """The exit code of a process that has just ended; None if it runs on."""
        with move_on_after(1.0):
            await self._process.wait()
        self.keep_errors()
        return self._process.returncode

    def keep_errors(self) -> bool:
        """Keep what is there of its standard error; False at its end. No more than a log may hold at once."""
        for _ in range(_LONGEST_LOG // _CHUNK):
            try:
                chunk = os.read(self._errors, _CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            _keep(chunk, self._log)
        return True

    async def keep_errors_until(self, end: CancelScope) -> None:
        """Keep its standard error until it ends or ``end`` is cancelled: a full pipe would stop it."""
        with end:
            while self.keep_errors():
                await wait_readable(self._errors)

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[_Streams]:
        """What the server says, and what it is told."""
        heard, said = create_memory_object_stream[SessionMessage | Exception](0)
        told, to_tell = create_memory_object_stream[SessionMessage](0)
        async with heard, said, told, to_tell, create_task_group() as tasks:
            tasks.start_soon(self._listen, heard)
            tasks.start_soon(self._tell, to_tell)
            try:
                yield said, told
            finally:
                tasks.cancel_scope.cancel()

    async def _listen(self, heard: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        buffer = bytearray()
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with heard:
                while chunk := await self._read():
                    buffer += chunk
                    if b"\n" in chunk:
                        *lines, rest = bytes(buffer).split(b"\n")
                        buffer = bytearray(rest)
                        for line in filter(None, map(bytes.strip, lines)):
                            await self._hear(line, heard)
                    elif len(buffer) > _LONGEST_MESSAGE:
                        break
                self.ended.set()  # before the calls that wait hear of it
        self.ended.set()

    async def _hear(self, line: bytes, heard: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            _keep(line[:1_000] + b"\n", self._log)  # a banner, say: it is no message, but may explain something
            return
        await heard.send(SessionMessage(message))

    async def _read(self) -> bytes:
        await wait_readable(self._output)
        return os.read(self._output, _CHUNK)

    async def _tell(self, to_tell: MemoryObjectReceiveStream[SessionMessage]) -> None:
        assert self._process.stdin is not None
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            async for each in to_tell:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                await self._process.stdin.send(text.encode() + b"\n")
        self.ended.set()


@asynccontextmanager
async def started(
    command: Sequence[str], env: Mapping[str, str], cwd: str, log: IO[bytes]
) -> AsyncIterator[ServerProcess]:
    """A server in a session of its own, its standard error in ``log``. Raises OSError if it cannot be started.

    However this ends, it and all processes of its group are ended: its input is closed, then SIGTERM, then SIGKILL.
    """
    # Our own pipe: waiting for a process of asyncio waits for pipes too, which a child of it may hold open.
    reader, writer = os.pipe()
    errors, error_writer = os.pipe()
    try:
        os.set_blocking(reader, False)
        os.set_blocking(errors, False)
        try:
            with CancelScope(shield=True):  # a half-started process would have no owner
                process = await open_process(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=writer,
                    stderr=error_writer,
                    env=env,
                    cwd=cwd,
                    start_new_session=True,
                )
        finally:
            os.close(writer)
            os.close(error_writer)
        server = ServerProcess(process, reader, errors, log)
        keeping = CancelScope(shield=True)
        async with create_task_group() as tasks:
            tasks.start_soon(server.keep_errors_until, keeping)
            try:
                yield server
            finally:
                with CancelScope(shield=True):
                    await _end(process, server.patience_s)
                keeping.cancel()
                server.keep_errors()
    finally:
        os.close(reader)
        os.close(errors)


def _keep(text: bytes, log: IO[bytes]) -> None:
    """Add to a log, which keeps its last half where it grows too long."""
    log.seek(0, os.SEEK_END)
    if log.tell() + len(text) > _LONGEST_LOG:
        log.seek(-min(log.tell(), _LONGEST_LOG // 2), os.SEEK_END)
        rest = log.read()
        log.seek(0)
        log.truncate()
        log.write(rest)
    log.write(text)
    log.flush()


async def _end(process: Process, goes_s: float) -> None:
    assert process.stdin is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await process.stdin.aclose()
    with move_on_after(goes_s):
        await process.wait()
    # The group outlives its leader where that was a wrapper (npx, uvx, a shell) with children.
    for number, patience in ((signal.SIGTERM, goes_s), (signal.SIGKILL, _REAP_S)):
        if not _signal(process.pid, number):
            break
        with move_on_after(patience):
            while _signal(process.pid, 0):  # noqa: ASYNC110 - nothing tells when a group is gone
                await anyio.sleep(_POLL_S)
    with move_on_after(_REAP_S):
        await process.wait()


def _signal(group: int, number: int) -> bool:
    """Signal a process group; False if there is none (or, on macOS, none but zombies) any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True

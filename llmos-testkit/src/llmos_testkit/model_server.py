"""An HTTP server on loopback that stands for Anthropic, under full control of a test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

_MAX_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came over the wire; names of headers are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The body, parsed."""
        message: dict[str, Any] = json.loads(self.body)
        return message

    @property
    def agent_id(self) -> str | None:
        """The sub-agent that asks, None for the main agent."""
        return self.headers.get("x-claude-code-agent-id")

    @property
    def turn(self) -> int:
        """How many replies the conversation already holds."""
        return sum(entry["role"] == "assistant" for entry in self.message["messages"])

    def results(self) -> list[dict[str, Any]]:
        """The tool results in the last message of the conversation that holds any."""
        for entry in reversed(self.message["messages"]):
            content = entry["content"] if isinstance(entry["content"], list) else []
            if found := [block for block in content if block["type"] == "tool_result"]:
                return found
        return []


class Response:
    """What goes back, byte by byte."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._chunked = True

    async def start(self, status: int, headers: dict[str, str], *, chunked: bool = True) -> None:
        """Send the head. Without ``chunked``, the headers must say how long the body is, or it ends with the line."""
        self._chunked = chunked
        sent = {"connection": "close", **({"transfer-encoding": "chunked"} if chunked else {}), **headers}
        lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        await self._stream.send("\r\n".join(lines).encode())

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._stream.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        """Say that the body is complete; without it the client sees a connection that was cut."""
        if self._chunked:
            await self._stream.send(b"0\r\n\r\n")

    async def whole(self, status: int, value: Any, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """Send a JSON value, and no more."""
        await self.start(status, {"content-type": "application/json", **headers})
        await self.chunk(json.dumps(value).encode())
        await self.end()


Handler = Callable[[Received, Response], Awaitable[None]]


@dataclass(slots=True)
class ModelServer:
    """Serves one request per connection with ``handler``.

    ``requests`` is all that came. ``arrived`` is set by the first request, ``gone`` by a client that leaves before its
    reply is complete. ``errors`` is what handlers raised, which closes the connection; :func:`serving` raises them
    again when it ends.
    """

    handler: Handler
    url: str = ""
    requests: list[Received] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    arrived: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)

    async def serve(self, stream: SocketStream) -> None:
        """Serve one connection."""
        async with stream:
            try:
                received = await _read(stream)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                return  # somebody who only looked whether there is a server
            self.requests.append(received)
            self.arrived.set()
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch, stream, group.cancel_scope)
                try:
                    await self.handler(received, Response(stream))
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    self.gone.set()
                except Exception as error:  # noqa: BLE001 - kept, and raised when the server ends
                    self.errors.append(error)
                group.cancel_scope.cancel()

    async def _watch(self, stream: SocketStream, answering: anyio.CancelScope) -> None:
        """Give the answer up when the client leaves."""
        try:
            while True:
                await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.gone.set()
            answering.cancel()


async def _read(stream: SocketStream) -> Received:
    buffered = BufferedByteReceiveStream(stream)
    head = (await buffered.receive_until(b"\r\n\r\n", _MAX_HEAD_BYTES)).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await buffered.receive_exactly(int(headers.get("content-length", 0)))
    return Received(first.split()[0], first.split()[1], headers, body)


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[ModelServer]:
    """A server in this event loop, on a free port unless one is named.

    What handlers raised is raised at the end, unless the test has failed by itself.

    Example::

        async with serving(scripted(turns("Hello."))) as server:
            async with httpx.AsyncClient(base_url=server.url) as client: ...

    """
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    address = listener.extra(SocketAttribute.local_address)  # noqa: S610 - no Django here
    server = ModelServer(handler, f"http://127.0.0.1:{address[1]}")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listener)
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(listener.serve, server.serve)
        try:
            yield server
        finally:
            # The body's own error does not pass the group, which would wrap it.
            group.cancel_scope.cancel()
            await stack.aclose()
    if server.errors:
        raise server.errors[0]

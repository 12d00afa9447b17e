"""An HTTP server on loopback under full control, and a scripted model that speaks the Messages API on it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]
Failure = tuple[int, dict[str, Any]]


@dataclass
class Received:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.body)
        return message

    @property
    def agent_id(self) -> str | None:
        return self.headers.get("x-claude-code-agent-id")

    @property
    def turn(self) -> int:
        """How many replies the conversation already holds."""
        return sum(entry["role"] == "assistant" for entry in self.message["messages"])

    def results(self) -> list[Block]:
        """The tool results in the last message of the conversation that holds any."""
        for entry in reversed(self.message["messages"]):
            content = entry["content"] if isinstance(entry["content"], list) else []
            if found := [block for block in content if block["type"] == "tool_result"]:
                return found
        return []


class Response:
    """What goes back, byte by byte."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._chunked = True

    async def start(self, status: int, headers: dict[str, str], *, chunked: bool = True) -> None:
        self._chunked = chunked
        sent = {"connection": "close", **({"transfer-encoding": "chunked"} if chunked else {}), **headers}
        lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode())
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._writer.drain()

    async def end(self) -> None:
        if self._chunked:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()


Handler = Callable[[Received, Response], Awaitable[None]]


@dataclass
class Upstream:
    """Serves one request per connection with ``handler``.

    ``arrived`` is set by the first request, ``gone`` by a client that leaves before its reply is complete.
    """

    handler: Handler
    requests: list[Received] = field(default_factory=list)
    url: str = ""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            received = Received(first.split()[0], first.split()[1], headers, body)
            self.requests.append(received)
            self.arrived.set()
            answering = asyncio.create_task(self._answer(received, Response(writer)))
            leaving = asyncio.create_task(reader.read())
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.gone.set()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        finally:
            writer.close()

    async def _answer(self, received: Received, response: Response) -> None:
        await self.handler(received, response)


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[Upstream]:
    upstream = Upstream(handler)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", port, limit=64 << 20)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        await server.wait_closed()


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def use(name: str, **input: Any) -> Block:
    """A call of a kernel tool, or of ``Agent``."""
    return {"type": "tool_use", "name": name if name == "Agent" else f"mcp__llmos__{name}", "input": input}


Script = Callable[[Received], "list[Block] | Failure"]


def turns(*replies: list[Block]) -> Script:
    """A script for a conversation without agents: one reply after the other."""
    return lambda received: replies[received.turn]


def scripted(script: Script) -> Handler:
    """A model that answers as the script says: blocks of a message, or a status and an error."""
    numbers = itertools.count(1)

    async def answer(received: Received, response: Response) -> None:
        if received.method != "POST":
            await response.start(404, {})
            return await response.end()
        reply = script(received)
        if isinstance(reply, tuple):
            await response.start(reply[0], {"content-type": "application/json"})
            await response.chunk(json.dumps(reply[1]).encode())
            return await response.end()
        await response.start(200, {"content-type": "text/event-stream"})
        for name, data in events(reply, received.message["model"], numbers=numbers):
            await response.chunk(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode())
        return await response.end()

    return answer


def api_error(status: int, kind: str, message: str) -> Failure:
    return status, {"type": "error", "error": {"type": kind, "message": message}}


def events(
    blocks: list[Block], model: str, output_tokens: int = 20, numbers: Iterator[int] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a streamed message."""
    numbers = numbers or itertools.count(900_000)
    message = {
        "id": f"msg_{next(numbers):06}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    }
    yield "message_start", {"message": message}
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            start, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "id": f"toolu_{next(numbers):06}", "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield "content_block_start", {"index": index, "content_block": start}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    yield (
        "message_delta",
        {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": output_tokens}},
    )
    yield "message_stop", {}

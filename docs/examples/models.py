"""A model provider that gives the last message back, whole or as the server-sent events of the Messages API.

A real one would forward ``request.body`` to a server. It reads its credential in ``llmos_models`` from its settings or
the environment, names it in ``secrets``, and says in ``unready`` what is missing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio.lowlevel

from llmos_core import Billing, ModelProvider, ModelReply, ModelRequest, Run, Task, hookimpl


class Parrot:
    name = "parrot"
    billing: Billing = "free"
    fallback = False

    def unready(self) -> str | None:
        return None

    def notices(self) -> Sequence[str]:
        return ["A parrot answers: it repeats what it is told."]

    def secrets(self) -> Sequence[str]:
        return ()

    def check(self, task: Task, run: Run) -> None:
        return None

    def priced(self, model: str, run: Run) -> bool:
        return False

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        text = _last_text(request.message["messages"])
        if request.message.get("stream"):
            yield ModelReply(status=200, chunks=_events(text))
        else:
            yield ModelReply(status=200, chunks=_whole(text), headers=(("content-type", "application/json"),))


def _last_text(messages: Sequence[Any]) -> str:
    content = messages[-1]["content"]
    return content if isinstance(content, str) else str(content[-1].get("text", ""))


def _message(content: list[dict[str, str]], reason: str | None, tokens: int) -> dict[str, Any]:
    usage = {"input_tokens": 1, "output_tokens": tokens}
    said = {"content": content, "stop_reason": reason, "stop_sequence": None, "usage": usage}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "parrot", **said}


async def _whole(text: str) -> AsyncIterator[bytes]:
    await anyio.lowlevel.checkpoint()
    yield json.dumps(_message([{"type": "text", "text": text}], "end_turn", len(text) // 4)).encode()


async def _events(text: str) -> AsyncIterator[bytes]:
    for event in (
        {"type": "message_start", "message": _message([], None, 1)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": len(text) // 4}},
        {"type": "message_stop"},
    ):
        await anyio.lowlevel.checkpoint()
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


@hookimpl
def llmos_models() -> Iterable[ModelProvider]:
    return [Parrot()]

"""A message in the two forms of the Messages API: one JSON object, or a stream of server-sent events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from llmos_plugin_rehearsal.engine import Message

_WORDS = re.compile(r"\s*(?:\S+\s*){1,6}")
_JSON_PIECE = 80


def complete(message: Message, model: str, request_bytes: int) -> bytes:
    """The message as the body of a reply that is not streamed."""
    content = _content(message)
    return _json(
        {
            **_head(model, request_bytes, output_tokens=_output_tokens(content)),
            "content": content,
            "stop_reason": _stop_reason(message),
        }
    ).encode()


def events(message: Message, model: str, request_bytes: int) -> Iterator[bytes]:
    """The message as server-sent events, one at a time.

    Tokens are estimates that depend on nothing but sizes: a fourth of the request's bytes in, a fourth of the
    characters of texts and tool inputs out, at least one each.
    """
    content = _content(message)
    yield _event("message_start", message=_head(model, request_bytes, output_tokens=1))
    for index, block in enumerate(content):
        empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        yield _event("content_block_start", index=index, content_block=empty)
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event(
        "message_delta",
        delta={"stop_reason": _stop_reason(message), "stop_sequence": None},
        usage={"output_tokens": _output_tokens(content)},
    )
    yield _event("message_stop")


def _head(model: str, request_bytes: int, output_tokens: int) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": max(1, request_bytes // 4),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        },
    }


def _content(message: Message) -> list[dict[str, Any]]:
    text = [{"type": "text", "text": message.text}] if message.text.strip() else []
    calls = [
        {"type": "tool_use", "id": f"toolu_{uuid4().hex}", "name": name, "input": given}
        for name, given in message.calls
    ]
    return text + calls


def _stop_reason(message: Message) -> str:
    return "tool_use" if message.calls else "end_turn"


def _output_tokens(content: list[dict[str, Any]]) -> int:
    return max(1, sum(len(_payload(block)) for block in content) // 4)


def _payload(block: dict[str, Any]) -> str:
    """The part of a block that is streamed: its text, or its input as JSON."""
    return block["text"] if block["type"] == "text" else _json(block["input"])


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, str]]:
    payload = _payload(block)
    if block["type"] == "text":
        for words in _WORDS.findall(payload):
            yield {"type": "text_delta", "text": words}
    else:
        for start in range(0, len(payload), _JSON_PIECE):
            yield {"type": "input_json_delta", "partial_json": payload[start : start + _JSON_PIECE]}


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {_json({'type': kind, **data})}\n\n".encode()


def _json(value: Any) -> str:
    """JSON in ASCII, so that any text has bytes, a lone surrogate too."""
    return json.dumps(value)

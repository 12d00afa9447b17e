"""A reply of the Messages API, read from a stream of events or from one JSON object. Imports no SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never

from pydantic import JsonValue, TypeAdapter

from llmos_core import LLMOSError, ModelReply
from llmos_plugin_claude.models.http_errors import LATER
from llmos_plugin_claude.models.wire import error_message

Block = dict[str, Any]

MAX_REPLY = 64 << 20
"""The longest reply taken, in bytes."""

_INPUT = TypeAdapter(dict[str, JsonValue])
_BAD_SHAPE = (LookupError, TypeError, AttributeError, ValueError, RecursionError)
_PASSING = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})


class ModelFailedError(LLMOSError):
    """The model gave no usable reply. ``again`` is a short reason where asking again can help, else empty."""

    def __init__(self, what: str, why: str = "", fix: str = LATER, *, again: str = "", wait_s: float | None = None):
        super().__init__(what, why, fix)
        self.again = again
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call that the model wants. ``fault`` says why its input cannot be used, if it cannot."""

    id: str
    name: str
    input: dict[str, JsonValue]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its texts (none is blank) and tool calls; ``content`` is what goes back into the conversation."""

    texts: tuple[str, ...]
    uses: tuple[ToolUse, ...]
    content: list[Block]
    stop_reason: str | None


async def read_reply(answer: ModelReply) -> Reply:
    """The reply with status 200. Raises ModelFailedError; errors of the model door pass as they are."""
    reader = _Json() if "json" in dict(answer.headers).get("content-type", "") else _Events()
    size = 0
    try:
        async for chunk in answer.chunks:
            size += len(chunk)
            if size > MAX_REPLY:
                raise _unreadable(f"it is longer than {MAX_REPLY >> 20} MiB")
            reader.feed(chunk)
    except LLMOSError:
        raise
    except Exception as error:  # any error of the provider's connection
        raise _broke_off(f"{type(error).__name__}: {error}", reader.began) from error
    return reader.reply(size)


class _Json:
    """Reads a reply that was not streamed."""

    def __init__(self) -> None:
        self._body = bytearray()

    @property
    def began(self) -> bool:
        return bool(self._body)

    def feed(self, chunk: bytes) -> None:
        self._body += chunk

    def reply(self, size: int) -> Reply:
        if not size:
            raise _broke_off("it was empty", began=False)
        try:
            message = _loads(bytes(self._body))
            return _assembled([(dict(block), "") for block in message["content"]], message.get("stop_reason"))
        except _BAD_SHAPE as error:
            raise _unreadable(error_message(bytes(self._body)) or str(error)) from error


class _Events:
    """Reads server-sent events, of which each carries one JSON object. What is not documented is passed over."""

    def __init__(self) -> None:
        self.began = False
        self._head = b""
        self._pending = b""
        self._data: list[bytes] = []
        self._blocks: dict[int, tuple[Block, list[str]]] = {}
        self._stop_reason: str | None = None
        self._complete = False

    def feed(self, chunk: bytes) -> None:
        self._head = self._head or chunk[:300]
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            self._line(line.removesuffix(b"\r"))

    def reply(self, size: int) -> Reply:
        for line in (self._pending, b""):
            self._line(line)
        if not self._complete and self._stop_reason is None:
            if size and not self.began:
                raise _unreadable(self._head.decode("utf-8", "replace"))
            raise _broke_off("it ended before it was complete", self.began)
        try:
            blocks = [(block, "".join(pieces)) for _, (block, pieces) in sorted(self._blocks.items())]
            return _assembled(blocks, self._stop_reason)
        except _BAD_SHAPE as error:
            raise _unreadable(f"{type(error).__name__}: {error}") from error

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            if not self._complete:
                self._event(data)

    def _event(self, data: bytes) -> None:
        try:
            event = _loads(data)
            if event["type"] == "error":
                raise self._failed(event)
            self._take(event)
        except _BAD_SHAPE as error:
            raise _unreadable(data[:300].decode("utf-8", "replace")) from error

    def _take(self, event: Mapping[str, Any]) -> None:
        self.began = True
        match event["type"]:
            case "content_block_start":
                self._blocks[int(event["index"])] = (dict(event["content_block"]), [])
            case "content_block_delta":
                delta = event["delta"]
                piece = delta.get("text") if delta["type"] == "text_delta" else delta.get("partial_json")
                if piece is not None:
                    self._blocks[int(event["index"])][1].append(piece)
            case "message_delta":
                self._stop_reason = event["delta"].get("stop_reason") or self._stop_reason
            case "message_stop":
                self._complete = True
            case _:
                pass

    def _failed(self, event: Mapping[str, Any]) -> ModelFailedError:
        """What an error in the stream means: the server gave the reply up."""
        error = event["error"]
        kind = str(error.get("type"))
        return unusable(
            f"It broke off: {error.get('message')}", again=kind if kind in _PASSING and not self.began else ""
        )


def _assembled(blocks: list[tuple[Block, str]], stop_reason: str | None) -> Reply:
    """The reply made of blocks and of what was streamed for each. Kinds of block that were not asked for are left out:
    a model must not rely on getting them back.
    """
    texts: list[str] = []
    uses: list[ToolUse] = []
    content: list[Block] = []
    for block, streamed in blocks:
        if block["type"] == "text":
            text = _text(block.get("text", "") + streamed)
            if text.strip():
                texts.append(text)
                content.append({"type": "text", "text": text})
        elif block["type"] == "tool_use":
            use = _use(block, streamed)
            uses.append(use)
            content.append({"type": "tool_use", "id": use.id, "name": use.name, "input": use.input})
    return Reply(tuple(texts), tuple(uses), content, stop_reason)


def _use(block: Block, streamed: str) -> ToolUse:
    id, name = block["id"], block["name"]
    if not (isinstance(id, str) and id and isinstance(name, str)):
        raise TypeError("a tool call without an id or a name")
    name = _text(name)
    try:
        input = _INPUT.validate_python(_loads(streamed) if streamed else block.get("input") or {})
        json.dumps(input, ensure_ascii=False).encode()  # a half of a character would be refused in the next request
        return ToolUse(id, name, input)
    except (ValueError, RecursionError):
        return ToolUse(id, name, {}, f"the input is no JSON object: {_text(streamed)[:200]}")


def _text(text: str) -> str:
    """Text that has bytes: halves of a character that came apart are joined, lone ones replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _loads(data: bytes | str) -> Any:
    return json.loads(data, parse_constant=_no_number)


def _no_number(name: str) -> Never:
    raise ValueError(f"{name} is no number in JSON")


def unusable(why: str, fix: str = LATER, again: str = "") -> ModelFailedError:
    """A reply came, or a part of one, that is neither an answer nor a list of calls."""
    return ModelFailedError("The model's reply could not be used.", " ".join(why.split()), fix, again=again)


def _broke_off(why: str, began: bool) -> ModelFailedError:
    return unusable(f"It broke off: {why}", again="" if began else "no reply")


def _unreadable(why: str) -> ModelFailedError:
    return unusable(f"It cannot be read: {why[:300]}", "Check that the server speaks the Messages API.")

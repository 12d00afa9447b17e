"""What a scripted model says: blocks, replies, failures, and scripts of them, as the Messages API has them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from llmos_testkit.model_server import Handler, Received, Response

Block = dict[str, Any]


def text(words: str | Iterable[str]) -> Block:
    """A text; given pieces, each is sent as it is drawn, so a generator may say when it was."""
    return {"type": "text", "text": words}


def tool_use(name: str, /, **input: Any) -> Block:
    """A call of a tool by the very name that the model was told."""
    return {"type": "tool_use", "name": name, "input": input}


def use(name: str, /, **input: Any) -> Block:
    """A call of a kernel tool as the Claude Code CLI names it (``mcp__llmos__Bash``), or of ``Agent``."""
    return tool_use(name if name == "Agent" else f"mcp__llmos__{name}", **input)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answers to one request.

    Args:
        blocks: the content; a string is one text.
        input_tokens, output_tokens: the usage that is told.
        stop_reason: the reason told; None tells ``tool_use`` or ``end_turn``, as the blocks have it.
        ends: ``complete``; or after the last piece of content the connection is cut (``drop``), or nothing more comes
            until the client leaves (``stall``). With no blocks, nothing at all is sent.
        pause_s: seconds to wait before each piece of content is drawn and sent.

    """

    blocks: Sequence[Block] | str
    input_tokens: int = 10
    output_tokens: int = 20
    stop_reason: str | None = None
    ends: Literal["complete", "drop", "stall"] = "complete"
    pause_s: float = 0.0

    @property
    def content(self) -> list[Block]:
        return [text(self.blocks)] if isinstance(self.blocks, str) else list(self.blocks)

    @property
    def reason(self) -> str:
        uses = any(block["type"] == "tool_use" for block in self.content)
        return self.stop_reason or ("tool_use" if uses else "end_turn")


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is no message. ``body`` may be any JSON value."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


Answer = str | Sequence[Block] | Reply | Failure
"""A text, blocks, or more exactly a reply or a failure."""

ModelScript = Callable[[Received], Answer]
"""What the model answers to a request."""


def api_error(status: int, kind: str, message: str, **headers: str) -> Failure:
    """An error of the Messages API, for example ``api_error(529, "overloaded_error", "Overloaded")``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Failure(status, {"type": "error", "error": {"type": kind, "message": message}}, named)


def hang() -> Reply:
    """The request is taken, and nothing comes back until the client leaves."""
    return Reply((), ends="stall")


def stall(blocks: Sequence[Block] | str) -> Reply:
    """The reply begins and then falls silent."""
    return Reply(blocks, ends="stall")


def drop(blocks: Sequence[Block] | str = ()) -> Reply:
    """The connection is cut: in the middle of the reply, or before it where there are no blocks."""
    return Reply(blocks, ends="drop")


def turns(*main: Answer, agent: Sequence[Answer] = ()) -> ModelScript:
    """One reply after the other, by the number of replies that a conversation holds already.

    So a request that is made again gets the same reply. ``agent`` is what sub-agents are told, each from the first on.
    """

    def script(received: Received) -> Answer:
        replies = main if received.agent_id is None else agent
        if received.turn >= len(replies):
            who = "a sub-agent" if received.agent_id else "the main agent"
            raise LookupError(f"the script has {len(replies)} replies for {who}, which asks for one more")
        return replies[received.turn]

    return script


def in_order(*answers: Answer) -> ModelScript:
    """One answer after the other, whoever asks: for failures that are followed by a reply."""
    left = iter(answers)

    def script(received: Received) -> Answer:
        for answer in left:
            return answer
        raise LookupError(f"the script has {len(answers)} answers, and one more was asked for")

    return script


def scripted(script: ModelScript, models: Sequence[str] = ()) -> Handler:
    """A model that answers as the script says, streamed if that was asked for; ``models`` are those it lists."""
    numbers = itertools.count(1)

    async def answer(received: Received, response: Response) -> None:
        if received.method != "POST":
            listing = received.target.partition("?")[0].endswith("/models")
            await response.whole(*(200, {"data": [{"id": name} for name in models]}) if listing else (404, {}))
            return
        try:
            given = script(received)
        except Exception as error:
            # A client would make a request again that was not answered.
            told = api_error(400, "invalid_request_error", f"The script failed: {error!r}")
            await response.whole(told.status, told.body)
            raise
        if isinstance(given, Failure):
            await response.whole(given.status, given.body, given.headers)
            return
        reply = given if isinstance(given, Reply) else Reply(given)
        if received.message.get("stream") or reply.ends != "complete":
            await _stream(reply, received.message["model"], response, numbers)
        else:
            await response.whole(200, whole(reply, received.message["model"], numbers))

    return answer


async def _stream(reply: Reply, model: str, response: Response, numbers: Iterator[int]) -> None:
    if reply.content or reply.ends == "complete":
        await response.start(200, {"content-type": "text/event-stream"})
        for name, data in events(reply, model, numbers):
            if name == "message_delta" and reply.ends != "complete":
                break
            await response.chunk(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode())
            if name in ("content_block_start", "content_block_delta"):
                await anyio.sleep(reply.pause_s)
    if reply.ends == "stall":
        await anyio.sleep_forever()
    if reply.ends == "complete":
        await response.end()


def whole(reply: Reply, model: str, numbers: Iterator[int]) -> dict[str, Any]:
    """A reply as the one message it is where nobody asked for a stream."""
    content = []
    for block in reply.content:
        if block["type"] == "text":
            content.append({**block, "text": "".join(block["text"])})
        else:
            content.append({**block, "id": f"toolu_{next(numbers):06}"})
    return {**_message(reply, model, numbers), "content": content, "stop_reason": reply.reason}


def events(reply: Reply, model: str, numbers: Iterator[int] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a streamed reply, by name."""
    numbers = numbers or itertools.count(900_000)
    message = _message(reply, model, numbers)
    yield "message_start", {"message": {**message, "usage": {**message["usage"], "output_tokens": 1}}}
    for index, block in enumerate(reply.content):
        if block["type"] == "text":
            start: Block = {**block, "text": ""}
            said = [block["text"]] if isinstance(block["text"], str) else block["text"]
            deltas: Iterable[Block] = ({"type": "text_delta", "text": piece} for piece in said)
        else:
            start = {**block, "id": f"toolu_{next(numbers):06}", "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        yield "content_block_start", {"index": index, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    end = {"stop_reason": reply.reason, "stop_sequence": None}
    yield "message_delta", {"delta": end, "usage": {"output_tokens": reply.output_tokens}}
    yield "message_stop", {}


def _message(reply: Reply, model: str, numbers: Iterator[int]) -> dict[str, Any]:
    return {
        "id": f"msg_{next(numbers):06}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens},
    }

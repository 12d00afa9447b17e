"""How a reply is read, however it is cut and whatever it holds."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import LLMOSError, ModelReply, ModelStalledError
from llmos_plugin_claude.cortex import reply as cortex_reply
from llmos_plugin_claude.cortex.reply import ModelFailedError, Reply, ToolUse, read_reply

UNUSABLE = "The model's reply could not be used."


def answer(chunks: Sequence[bytes], kind: str = "text/event-stream", fault: Exception | None = None) -> ModelReply:
    async def sent() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if fault:
            raise fault

    return ModelReply(200, sent(), (("content-type", kind),))


def read(*chunks: bytes, **how: Any) -> Reply:
    return anyio.run(read_reply, answer(chunks, **how))


def events(*blocks: tuple[dict[str, Any], Sequence[dict[str, Any]]], reason: str = "end_turn") -> list[dict[str, Any]]:
    """The documented events of a message with these blocks, each with its deltas."""
    sent: list[dict[str, Any]] = [{"type": "message_start", "message": {"usage": {}}}, {"type": "ping"}]
    for index, (block, deltas) in enumerate(blocks):
        sent.append({"type": "content_block_start", "index": index, "content_block": block})
        sent.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        sent.append({"type": "content_block_stop", "index": index})
    return [*sent, {"type": "message_delta", "delta": {"stop_reason": reason}}, {"type": "message_stop"}]


def wire(sent: Sequence[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(f"event: {e['type']}{end}data: {json.dumps(e)}{end}{end}" for e in sent).encode()


def said(*pieces: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]


def used(*pieces: str, **block: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    start = {"type": "tool_use", "id": "t1", "name": "Echo", "input": {}, **block}
    return start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


WHOLE = events(said("Sh", "all ", "ä\U0001f600"), used('{"te', 'xt": "x"}'), reason="tool_use")
EXPECTED = Reply(
    texts=("Shall ä\U0001f600",),
    uses=(ToolUse("t1", "Echo", {"text": "x"}),),
    content=[
        {"type": "text", "text": "Shall ä\U0001f600"},
        {"type": "tool_use", "id": "t1", "name": "Echo", "input": {"text": "x"}},
    ],
    stop_reason="tool_use",
)


@given(cuts=st.lists(st.integers(1, 1500), max_size=12), crlf=st.booleans())
def test_a_stream_may_be_cut_anywhere(cuts: list[int], crlf: bool) -> None:
    data = wire(WHOLE, "\r\n" if crlf else "\n")
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    assert read(*(data[start:end] for start, end in itertools.pairwise(places))) == EXPECTED


def test_the_last_blank_line_may_be_missing() -> None:
    assert read(wire(WHOLE).rstrip()) == EXPECTED


def test_what_comes_after_the_end_is_passed_over() -> None:
    assert read(wire(WHOLE), b"data: [DONE]\n\n") == EXPECTED


def test_a_stream_that_tells_why_it_stops_is_whole() -> None:
    assert read(wire(WHOLE[:-1])) == EXPECTED


def test_what_was_not_asked_for_is_left_out() -> None:
    thought = {"type": "thinking", "thinking": ""}, [{"type": "thinking_delta", "thinking": "hm"}]
    unknown = {"type": "hologram"}, [{"type": "light_delta", "light": 1}]
    assert read(wire(events(thought, unknown, said(" "), said("Done.")))).content == [{"type": "text", "text": "Done."}]


def test_a_server_may_send_what_it_has_in_the_first_event() -> None:
    reply = read(wire(events(({"type": "text", "text": "All"}, []), used(input={"text": "y"}))))
    assert (reply.texts, reply.uses[0].input) == (("All",), {"text": "y"})


def test_a_call_without_input_has_an_empty_one() -> None:
    assert read(wire(events(used()))).uses == (ToolUse("t1", "Echo", {}),)


def test_characters_that_came_apart_are_joined_and_lone_halves_replaced() -> None:
    assert read(wire(events(said("\ud83d", "\ude00 \ud83d")))).texts == ("\U0001f600 �",)


@pytest.mark.parametrize("block", [{"id": ""}, {"id": 3}, {"name": None}])
def test_a_call_needs_an_id_and_a_name(block: dict[str, Any]) -> None:
    with pytest.raises(ModelFailedError) as caught:
        read(wire(events(used(**block))))
    assert (caught.value.what, caught.value.again) == (UNUSABLE, "")


@pytest.mark.parametrize(
    "event",
    [
        [],
        {"no": "type"},
        {"type": "content_block_start", "index": 0},
        {"type": "content_block_delta", "index": 5, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": "x"},
        {"type": "message_delta", "delta": None},
        {"type": "error"},
    ],
)
def test_nonsense_is_told(event: Any) -> None:
    with pytest.raises(ModelFailedError) as caught:
        read(wire(WHOLE[:1]), f"data: {json.dumps(event)}\n\n".encode())
    assert caught.value.why == f"It cannot be read: {json.dumps(event)}"


@pytest.mark.parametrize("deltas", [[{"type": "text_delta", "text": 3}], [{"type": "text_delta", "text": [1]}]])
def test_text_that_is_none_is_told(deltas: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelFailedError):
        read(wire(events(({"type": "text", "text": ""}, deltas))))


def test_an_endless_reply_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cortex_reply, "MAX_REPLY", 1 << 20)
    with pytest.raises(ModelFailedError) as caught:
        read(*[b"data: {}" * 1000] * 1000)
    assert caught.value.why == "It cannot be read: it is longer than 1 MiB"


@pytest.mark.parametrize(
    ("chunks", "kind", "again"),
    [
        ([], "text/event-stream", "no reply"),
        ([wire(WHOLE[:1])], "text/event-stream", ""),
        ([], "application/json", "no reply"),
        ([b"{"], "application/json", ""),
    ],
)
def test_only_where_nothing_came_asking_again_is_safe(chunks: list[bytes], kind: str, again: str) -> None:
    with pytest.raises(ModelFailedError) as caught:
        read(*chunks, kind=kind, fault=OSError("cable"))
    assert (caught.value.why, caught.value.again) == ("It broke off: OSError: cable", again)


def test_the_doors_own_errors_pass_as_they_are() -> None:
    stalled = ModelStalledError("The model's reply stalled.")
    with pytest.raises(LLMOSError) as caught:
        read(wire(WHOLE[:1]), fault=stalled)
    assert caught.value is stalled

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_plugin_rehearsal.engine import Message
from llmos_plugin_rehearsal.wire import complete, events

any_text = st.text(st.characters())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
    max_leaves=10,
)
inputs = st.dictionaries(any_text, json_values)
calls = st.lists(st.tuples(st.sampled_from(["Bash", "mcp__llmos__Write"]), inputs)).map(tuple)
Reader = Callable[[bytes], Any]


@settings(max_examples=50, deadline=None)
@given(text=any_text.filter(str.strip), calls=calls)
def test_a_stream_gives_back_text_and_inputs(text: str, calls: Any, stream_reader: Reader) -> None:
    message = Message(text, calls)
    reply = stream_reader(b"".join(events(message, "m", 400)))
    assert reply.text == text
    assert [(call["name"], call["input"]) for call in reply.calls] == list(calls)
    assert reply.stop_reason == ("tool_use" if calls else "end_turn")
    assert reply.input_tokens == 100
    assert reply.output_tokens == max(1, len("".join(reply.pieces)) // 4)
    assert len({call["id"] for call in reply.calls}) == len(calls)


@settings(max_examples=50, deadline=None)
@given(text=any_text.filter(str.strip), calls=calls)
def test_json_says_the_same_as_the_stream(text: str, calls: Any, stream_reader: Reader) -> None:
    message = Message(text, calls)
    whole = json.loads(complete(message, "m", 400))
    reply = stream_reader(b"".join(events(message, "m", 400)))
    without_ids = [{key: value for key, value in block.items() if key != "id"} for block in reply.content]
    assert [{key: value for key, value in block.items() if key != "id"} for block in whole["content"]] == without_ids
    assert whole["stop_reason"] == reply.stop_reason
    assert whole["usage"]["output_tokens"] == reply.output_tokens
    assert whole["usage"]["input_tokens"] == reply.input_tokens


def test_a_text_arrives_in_several_pieces_and_an_empty_one_not_at_all(stream_reader: Reader) -> None:
    words = "one two three four five six seven eight nine ten"
    assert stream_reader(b"".join(events(Message(words), "m", 1))).pieces == [
        "one two three four five six ",
        "seven eight nine ten",
    ]
    reply = stream_reader(b"".join(events(Message(" ", (("Bash", {"command": "x" * 200}),)), "m", 1)))
    assert [block["type"] for block in reply.content] == ["tool_use"]
    assert len(reply.pieces) == 3


def test_messages_have_ids_of_their_own(stream_reader: Reader) -> None:
    replies = [stream_reader(b"".join(events(Message("x", (("Bash", {}),)), "m", 1))) for _ in range(2)]
    assert replies[0].id != replies[1].id
    assert replies[0].calls[0]["id"] != replies[1].calls[0]["id"]
    assert replies[0].input_tokens == 1

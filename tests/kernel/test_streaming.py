"""Text as the model writes it: exactly its text, whatever the chunks; live only, never in a journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import LLMOS, LlmDelta, ModelReply, Run
from llmos_core.host.settings import SettingsFile
from llmos_core.kernel.metering import Meter
from tests.kernel.test_model_door import _feed
from tests.parts import Model, Parts, Script, ask, request


def delta(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}}


def encoded(events: list[dict[str, Any]], *, escaped: bool = False, ends: str = "\n") -> bytes:
    """Events as a server sends them."""
    lines = [
        f"event: {event['type']}{ends}data: {json.dumps(event, ensure_ascii=escaped)}{ends}{ends}" for event in events
    ]
    return "".join(lines).encode()


def cut(body: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(body) + 1) for place in places} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


async def deltas(chunks: list[bytes], kind: str = "text/event-stream") -> list[str]:
    told: list[str] = []
    meter = Meter(told.append)
    passed = [chunk async for chunk in meter.watch(ModelReply(200, _feed(chunks), (("content-type", kind),)))]
    assert passed == chunks
    return told


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    st.lists(TEXTS | st.sampled_from(['"usage": 9', "日本🙂", '{"type": "text_delta"}', "data: x", "\\n", "\n\n"])),
    st.lists(st.integers(0, 5_000), max_size=40),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_every_piece_of_text_is_told_once_whatever_the_chunks(
    texts: list[str], places: list[int], escaped: bool, ends: str
) -> None:
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
        *(delta("text_delta", text=text) for text in texts),
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}},
    ]
    body = encoded(events, escaped=escaped, ends=ends)
    assert anyio.run(deltas, cut(body, places)) == texts
    assert anyio.run(deltas, [bytes([byte]) for byte in body]) == texts


async def test_nothing_but_text_is_told() -> None:
    others = [
        delta("thinking_delta", thinking='"text_delta"'),
        delta("input_json_delta", partial_json='{"type":"text_delta","text":"no"}'),
        delta("signature_delta", signature="text_delta"),
        delta("other_delta", text="no", text_delta=True),
        {"type": "content_block_delta", "text_delta": True, "delta": {"text": "no"}},
        delta("text_delta", text=""),
        delta("text_delta", text=3),
        delta("text_delta"),
        {"type": "content_block_delta", "delta": "text_delta"},
        {"type": "content_block_start", "content_block": {"type": "text", "text": '"text_delta"'}},
        {"type": "ping", "note": '"text_delta"'},
    ]
    assert await deltas([encoded(others)]) == []
    assert await deltas([b'data: {"text_delta"\n\ndata: "text_delta"\n\ndata: ["text_delta"]\n\n']) == []


async def test_a_reply_that_is_no_stream_has_no_pieces() -> None:
    body = json.dumps({"type": "message", "content": [{"type": "text", "text": '"text_delta"'}]}).encode()
    assert await deltas([body], "application/json") == []


class Talking(Model):
    """Says one word per request, after the name of the model that was asked for."""

    async def _send(self) -> Any:
        for text in ("Grüße, ", self.asked[-1].model):
            yield encoded([delta("text_delta", text=text)])


async def test_pieces_are_published_with_their_agent_and_kept_out_of_the_journal(tmp_path: Path) -> None:
    kept: list[str] = []

    async def act(run: Run) -> str:
        await ask(run)
        sub = request("claude-haiku-4-5")
        await ask(run, type(sub)(sub.id, sub.body, sub.message, agent_id="agent-7"))
        kept.extend([event.type async for event in run.history()])
        return ""

    plugins = {"parts": Parts(strategies=[Script(act)], models=[Talking()])}
    seen: list[Any] = []
    async with LLMOS(tmp_path / "space", settings=SettingsFile(), discover=False, plugins=plugins) as system:
        outcome = await system.execute("talk", on_event=seen.append)
        [journal] = system.workspace.journals() if system.workspace else ()
    told = [event for event in seen if isinstance(event, LlmDelta)]
    assert [(event.content, event.agent_id) for event in told] == [
        ("Grüße, ", None),
        ("claude-sonnet-5-5", None),
        ("Grüße, ", "agent-7"),
        ("claude-haiku-4-5", "agent-7"),
    ]
    assert all(event.run_id == outcome.run_id and event.seq == 0 and event.at for event in told)
    assert "llm_delta" not in kept
    assert b"llm_delta" not in journal.read_bytes()
    numbers = [event.seq for event in seen if not isinstance(event, LlmDelta)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_piece_is_there_before_the_reply_goes_on() -> None:
    class Stepwise(Model):
        def __init__(self) -> None:
            super().__init__()
            self.go_on = anyio.Event()

        async def _send(self) -> Any:
            yield encoded([delta("text_delta", text="first")])
            await self.go_on.wait()
            yield encoded([delta("text_delta", text="second")])

    model, told = Stepwise(), []

    def hear(event: Any) -> None:
        if isinstance(event, LlmDelta):
            told.append(event.text)
            model.go_on.set()

    async with LLMOS.in_memory({"parts": Parts(strategies=[Script(ask)], models=[model])}) as system:
        with anyio.fail_after(10):
            await system.execute("talk", on_event=hear)
    assert told == ["first", "second"]

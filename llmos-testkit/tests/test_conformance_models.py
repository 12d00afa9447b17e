"""Each check of model providers can fail."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import ModelReply, ModelRequest, Run, Task, UsageError
from llmos_testkit.conformance import ModelProviderConformance
from llmos_testkit.conformance.stage import Model

from .conformance_parts import assert_each_check_can_fail, run_checks

SECRET = "sk-conformance-secret"


class Good(Model):
    """The kit's own model, with a secret."""

    def secrets(self) -> Any:
        return (SECRET,)


def changed(**attributes: Any) -> Any:
    return type("Changed", (Good,), attributes)


class Rewritten(Good):
    """Changes what is sent: the body is replaced as a whole."""

    def rewrite(self, data: bytes, stream: bool) -> bytes:
        return data

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[Any]:
        async with super().open(request, run) as reply:
            data = b"".join([chunk async for chunk in reply.chunks])
            yield replace(reply, chunks=_once(self.rewrite(data, bool(request.message.get("stream")))))


async def _once(data: Any) -> AsyncIterator[Any]:
    await anyio.lowlevel.checkpoint()
    yield data


class Unnamed(Rewritten):
    """Sends an event that no client knows."""

    def rewrite(self, data: bytes, stream: bool) -> bytes:
        return data.replace(b"content_block_start", b"text_begins")


class Untold(Rewritten):
    def rewrite(self, data: bytes, stream: bool) -> bytes:
        return data.replace(b'"input_tokens"', b'"in"') if stream else data


class Streaming(Rewritten):
    def rewrite(self, data: bytes, stream: bool) -> bytes:
        return data if stream else data.replace(b'"type": "message"', b'"type": "completion"')


class Telling(Rewritten):
    def rewrite(self, data: bytes, stream: bool) -> bytes:
        return data.replace(b"Done.", SECRET.encode()) if stream else data


class Texts(Rewritten):
    def rewrite(self, data: bytes, stream: bool) -> Any:
        return data.decode() if stream else data


class Breaking(Good):
    """What another request does meanwhile, or what was left, breaks the reply."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False

    async def cut(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            if self.broken and b"message_stop" in chunk:
                return
            yield chunk


class Sharing(Breaking):
    under_way = 0

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        self.under_way += 1
        self.broken = self.broken or self.under_way > 1
        try:
            async with super().open(request, run) as reply:
                yield replace(reply, chunks=self.cut(reply.chunks))
        finally:
            self.under_way -= 1


class LeftOpen(Breaking):
    """Is broken for good where a reply was left without an error before its end."""

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        async with super().open(request, run) as reply:
            self.ended = False
            yield replace(reply, chunks=self.to_the_end(reply.chunks))
            self.broken = not self.ended

    async def to_the_end(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in self.cut(chunks):
            yield chunk
        self.ended = True


class Deaf(Good):
    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        async with super().open(request, run) as reply:
            try:
                yield reply
            except anyio.get_cancelled_exc_class():
                return


class Forgiving(Good):
    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        async with super().open(request, run) as reply:
            try:
                yield reply
            except ZeroDivisionError:
                return


def checking(self: Any, task: Task, run: Run) -> None:
    if task.continues:
        raise KeyError(task.continues)


def conforming(make: Any) -> type:
    class Checked(ModelProviderConformance):
        @pytest.fixture
        def provider(self) -> Any:
            return make()

    return Checked


MUTANTS: dict[str, Any] = {
    "test_fulfils_the_contract": changed(fallback="no"),
    "test_it_has_a_name": changed(name=""),
    "test_billing_is_one_of_three": changed(billing="prepaid"),
    "test_unready_gives_a_reason": changed(unready=lambda self: "", _reason=None),
    "test_notices_are_lines": changed(notices=lambda self: ["one", ""]),
    "test_secrets_are_texts": changed(secrets=lambda self: ("",)),
    "test_secrets_are_told_to_nobody": changed(__repr__=lambda self: f"Model(key={SECRET})"),
    "test_check_raises_nothing_but_usage_errors": changed(check=checking),
    "test_priced_is_yes_or_no": changed(priced=lambda self, model, run: 1),
    "test_a_stream_is_server_sent_events": Unnamed,
    "test_a_stream_tells_its_tokens": Untold,
    "test_without_a_stream_it_is_one_message": Streaming,
    "test_replies_hold_bytes_and_text_headers": Texts,
    "test_replies_hold_no_secret": Telling,
    "test_two_requests_at_once_do_not_meet": Sharing,
    "test_a_reply_can_be_left_before_its_end": LeftOpen,
    "test_cancelled_in_a_reply_it_closes": Deaf,
    "test_an_error_of_the_reader_passes": Forgiving,
}


def test_each_check_can_fail(tmp_path: Path) -> None:
    mutants = {check: conforming(make) for check, make in MUTANTS.items()}
    whole = {"test_a_reply_can_be_left_before_its_end", "test_cancelled_in_a_reply_it_closes"}
    also = {
        # An empty secret is in every text; a reply in texts is no reply to any reader.
        "test_secrets_are_texts": {"test_secrets_are_told_to_nobody", "test_replies_hold_no_secret"},
        "test_replies_hold_bytes_and_text_headers": whole | {"test_two_requests_at_once_do_not_meet"},
    }
    assert_each_check_can_fail(tmp_path, ModelProviderConformance, conforming(Good), mutants, also=also)


def test_a_provider_that_is_not_ready_is_asked_nothing(tmp_path: Path) -> None:
    def unusable(self: Any) -> str:
        raise UsageError("The key cannot be read.")

    asked: list[ModelRequest] = []

    class Unready(Good):
        def unready(self) -> str | None:
            return "no key is set"

        @asynccontextmanager
        async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
            asked.append(request)
            async with super().open(request, run) as reply:
                yield reply

    classes = {"unready": conforming(Unready), "unusable": conforming(changed(unready=unusable))}
    verdicts = run_checks(tmp_path, classes).verdicts
    for went in verdicts.values():
        assert set(went.values()) == {"passed", "skipped"}
        assert went["test_a_stream_is_server_sent_events"] == "skipped"
        assert went["test_unready_gives_a_reason"] == "passed"
    assert not asked


@pytest.mark.parametrize(
    "data",
    [
        b"event: message_start\n\n",
        b"data: []\n\n",
        b'event: ping\ndata: {"type": "message_start"}\n\n',
        b'event: ping\ndata: {"type": "ping"}\n\n',
        b'event: message_start\ndata: {"type": "message_start"}\n\n',
        b"data: not json\n\n",
        json.dumps({"type": "message"}).encode(),
    ],
)
def test_what_is_no_stream_fails(tmp_path: Path, data: bytes) -> None:
    class Odd(Rewritten):
        def rewrite(self, _: bytes, stream: bool) -> bytes:
            return data

    check = "test_a_stream_is_server_sent_events"
    verdicts = run_checks(tmp_path, {"odd": conforming(Odd)}, "-k", check).verdicts
    assert verdicts["odd"] == {check: "failed"}

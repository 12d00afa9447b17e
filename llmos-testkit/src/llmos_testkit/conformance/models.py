"""What every model provider keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from llmos_core import ModelProvider, ModelReply, ModelRequest, Run, Task, UsageError
from llmos_testkit.conformance.base import Conformance, Watched
from llmos_testkit.conformance.stage import GOAL, stage, without

_BLOCK_EVENTS = {"content_block_start", "content_block_delta", "content_block_stop"}
_EVENTS = _BLOCK_EVENTS | {"message_start", "message_delta", "message_stop", "ping", "error"}


class ModelProviderConformance(Conformance):
    """Checks of a :class:`llmos_core.ModelProvider`. Give it as the fixture ``provider``.

    ``body`` is a request that it answers with status 200, of a run whose goal is ``goal``. Where the provider says that
    it is not ready, requests are not checked.
    """

    goal: ClassVar[str] = GOAL
    body: ClassVar[Mapping[str, Any]] = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": GOAL}],
    }

    @pytest.fixture
    def provider(self) -> ModelProvider:
        """The provider under test."""
        raise NotImplementedError("give the provider: override the fixture `provider`")

    def test_fulfils_the_contract(self, provider: ModelProvider) -> None:
        assert isinstance(provider, ModelProvider), f"{type(provider).__name__} lacks a part of the contract"
        assert isinstance(provider.fallback, bool), "fallback is neither True nor False"

    def test_it_has_a_name(self, provider: ModelProvider) -> None:
        assert isinstance(provider.name, str), "the name is no text"
        assert provider.name.strip(), "the name is empty"

    def test_billing_is_one_of_three(self, provider: ModelProvider) -> None:
        assert provider.billing in ("real", "rehearsal", "free"), f"its billing is {provider.billing!r}"

    def test_unready_gives_a_reason(self, provider: ModelProvider) -> None:
        try:
            reason = provider.unready()
        except UsageError as error:
            reason = error.what
        if reason is not None:
            assert isinstance(reason, str), f"unready() gave {type(reason).__name__}"
            assert reason.strip(), "it is not ready, and does not say why"

    def test_notices_are_lines(self, provider: ModelProvider) -> None:
        notices = provider.notices()
        assert not isinstance(notices, str), "notices() gave one text; it is a sequence of them"
        assert all(isinstance(line, str) and line.strip() for line in notices), f"its notices are {notices!r}"

    def test_secrets_are_texts(self, provider: ModelProvider) -> None:
        secrets = provider.secrets()
        assert not isinstance(secrets, str), "secrets() gave one text; it is a sequence of them"
        assert all(isinstance(secret, str) and secret for secret in secrets), "a secret is no text"

    def test_secrets_are_told_to_nobody(self, provider: ModelProvider) -> None:
        told = [*provider.notices(), repr(provider), str(provider), _reason(provider)]
        for secret in provider.secrets():
            assert not any(secret in text for text in told), "a secret is in a notice, a reason or the repr"

    async def test_check_raises_nothing_but_usage_errors(self, provider: ModelProvider, place: Path) -> None:
        for task in (Task(goal=self.goal), Task(goal="?"), Task(goal=self.goal, continues="2020-01-01-000000-000000")):
            async with self._staged(place, task) as run:
                try:
                    answer: object = provider.check(task, run)  # type: ignore[func-returns-value]
                except UsageError:
                    continue
                except Exception as error:
                    raise AssertionError(f"check() raised {error!r}, no UsageError") from error
            assert answer is None, f"check() gave {answer!r}: what cannot be served is raised"

    async def test_priced_is_yes_or_no(self, provider: ModelProvider, place: Path) -> None:
        async with self._staged(place) as run:
            for model in (str(self.body["model"]), "no-such-model"):
                answer = provider.priced(model, run)
                assert isinstance(answer, bool), f"priced() gave {answer!r}"

    async def test_a_stream_is_server_sent_events(self, provider: ModelProvider, place: Path) -> None:
        reply, data = await self._answered(provider, place, stream=True)
        assert reply.status == 200, f"status {reply.status}: {data[:300]!r}"
        assert _header(reply, "content-type").startswith("text/event-stream"), f"headers: {reply.headers}"
        kinds = [kind for kind, _ in _events(data)]
        assert set(kinds) <= _EVENTS, f"there is no such event: {', '.join(sorted(set(kinds) - _EVENTS))}"
        assert kinds[:1] == ["message_start"], f"it begins with {kinds[:1]}"
        assert kinds[-1:] == ["message_stop"], f"it ends with {kinds[-1:]}"

    async def test_a_stream_tells_its_tokens(self, provider: ModelProvider, place: Path) -> None:
        _, data = await self._answered(provider, place, stream=True)
        told: dict[str, Any] = {}
        for kind, event in _events(data):
            told |= (event.get("message", {}) if kind == "message_start" else event).get("usage") or {}
        for key in ("input_tokens", "output_tokens"):
            assert isinstance(told.get(key), int), f"no {key} are told: what it costs cannot be known"

    async def test_without_a_stream_it_is_one_message(self, provider: ModelProvider, place: Path) -> None:
        reply, data = await self._answered(provider, place, stream=False)
        assert reply.status == 200, f"status {reply.status}: {data[:300]!r}"
        message = json.loads(data)
        assert message.get("type") == "message", f"it is a {message.get('type')}"
        assert isinstance(message.get("content"), list), "the message has no content"
        assert isinstance(message.get("usage", {}).get("output_tokens"), int), "no output_tokens are told"

    async def test_replies_hold_bytes_and_text_headers(self, provider: ModelProvider, place: Path) -> None:
        self._check_ready(provider)
        async with self._staged(place) as run, provider.open(self._request(stream=True), run) as reply:
            assert isinstance(reply, ModelReply), f"open() gave {type(reply).__name__}"
            assert all(isinstance(text, str) for pair in reply.headers for text in pair), f"{reply.headers!r}"
            async for chunk in reply.chunks:
                assert isinstance(chunk, bytes), f"a chunk is {type(chunk).__name__}"

    async def test_replies_hold_no_secret(self, provider: ModelProvider, place: Path) -> None:
        reply, data = await self._answered(provider, place, stream=True)
        for secret in provider.secrets():
            assert secret.encode() not in data, "the reply holds a secret"
            assert not any(secret in text for pair in reply.headers for text in pair), "a header holds a secret"

    async def test_two_requests_at_once_do_not_meet(self, provider: ModelProvider, place: Path) -> None:
        self._check_ready(provider)
        answers: list[bytes] = []
        async with self._staged(place) as run:

            async def one(number: int) -> None:
                request = self._request(stream=True, id=f"request-{number}")
                async with provider.open(request, run) as reply:
                    answers.append(b"".join([chunk async for chunk in reply.chunks]))

            async with anyio.create_task_group() as group:
                group.start_soon(one, 1)
                group.start_soon(one, 2)
        for data in answers:
            assert _kinds(data)[-1:] == ["message_stop"], "one of two replies is not whole"

    async def test_a_reply_can_be_left_before_its_end(self, provider: ModelProvider, place: Path) -> None:
        self._check_ready(provider)
        async with self._staged(place) as run:
            async with provider.open(self._request(stream=True), run) as reply:
                await anext(aiter(reply.chunks))
            async with provider.open(self._request(stream=True, id="second"), run) as reply:
                data = b"".join([chunk async for chunk in reply.chunks])
        assert _kinds(data)[-1:] == ["message_stop"], "after a reply that was left, the next is not whole"

    async def test_cancelled_in_a_reply_it_closes(self, provider: ModelProvider, place: Path) -> None:
        self._check_ready(provider)
        async with self._staged(place) as run:
            with anyio.CancelScope() as scope:
                watched = Watched(_first_chunk_then_cancel(provider, self._request(stream=True), run, scope))
                await watched
            assert not watched.swallowed, "open() swallowed a cancellation"
            async with provider.open(self._request(stream=True, id="second"), run) as reply:
                data = b"".join([chunk async for chunk in reply.chunks])
        assert _kinds(data)[-1:] == ["message_stop"], "after a cancelled reply, the next is not whole"

    async def test_an_error_of_the_reader_passes(self, provider: ModelProvider, place: Path) -> None:
        self._check_ready(provider)
        async with self._staged(place) as run:
            with pytest.raises(ZeroDivisionError):
                async with provider.open(self._request(stream=True), run):
                    raise ZeroDivisionError

    async def _answered(self, provider: ModelProvider, place: Path, *, stream: bool) -> tuple[ModelReply, bytes]:
        self._check_ready(provider)
        async with self._staged(place) as run, provider.open(self._request(stream=stream), run) as reply:
            parts = [bytes(chunk) if isinstance(chunk, bytes) else str(chunk).encode() async for chunk in reply.chunks]
        return reply, b"".join(parts)

    def _check_ready(self, provider: ModelProvider) -> None:
        if reason := _reason(provider):
            pytest.skip(f"it is not ready here: {reason}")

    def _request(self, *, stream: bool, id: str = "request") -> ModelRequest:
        body = json.dumps({**self.body, "stream": stream}).encode()
        return ModelRequest.parse(id, body, (("anthropic-version", "2023-06-01"),))

    def _staged(self, place: Path, task: Task | None = None) -> Any:
        others = {name: without(plugin, "llmos_models") for name, plugin in self.plugins.items()}
        return stage(place, others, task or Task(goal=self.goal))


async def _first_chunk_then_cancel(
    provider: ModelProvider, request: ModelRequest, run: Run, scope: anyio.CancelScope
) -> None:
    async with provider.open(request, run) as reply:
        await anext(aiter(reply.chunks))
        scope.cancel()
        await anyio.sleep_forever()


def _reason(provider: ModelProvider) -> str:
    try:
        return provider.unready() or ""
    except UsageError as error:
        return str(error)


def _header(reply: ModelReply, name: str) -> str:
    return next((value for key, value in reply.headers if key.lower() == name), "")


def _events(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream. Fails for one that is no JSON object, or whose name is not its type."""
    found = []
    for block in data.decode().replace("\r\n", "\n").split("\n\n"):
        lines = [line.partition(":") for line in block.split("\n") if line and not line.startswith(":")]
        fields = {key: value.strip() for key, _, value in lines}
        if not fields:
            continue
        assert "data" in fields, f"an event without data: {block[:200]!r}"
        event = json.loads(fields["data"])
        assert isinstance(event, dict), f"the data of an event is no object: {block[:200]!r}"
        assert fields.get("event", event.get("type")) == event.get("type"), f"an event of two names: {block[:200]!r}"
        found.append((str(event.get("type")), event))
    return found


def _kinds(data: bytes) -> list[str]:
    return [kind for kind, _ in _events(data)]

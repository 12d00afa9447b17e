"""The gateway: one token, bytes passed on as they come, refusals told and kept."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from llmos_core import (
    BudgetError,
    DeniedError,
    LLMOSError,
    ModelReply,
    ModelRequest,
    ModelStalledError,
    Notice,
    SettingsError,
    UsageError,
)
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_plugin_claude.sdk import gateway as module
from llmos_plugin_claude.sdk.gateway import Gateway
from llmos_testkit import Received, Response, serving

from .fakes import FakeRun

TOKEN = "0123456789abcdef"
BODY = b'{"model":"sonnet","messages":[]}'


async def fine(received: Received, response: Response) -> None:
    await response.start(200, {"content-type": "application/json"})
    await response.chunk(b"fine")
    await response.end()


@asynccontextmanager
async def standing(workdir: Path, handler: Any = fine) -> AsyncIterator[tuple[Gateway, FakeRun, Any, Any]]:
    """A gateway before an upstream, with a client that holds the token."""
    async with serving(handler) as upstream:
        environ = {"ANTHROPIC_API_KEY": "sk-real", "ANTHROPIC_BASE_URL": upstream.url}
        run = FakeRun(workdir, AnthropicProvider(environ))
        gateway = Gateway(run, TOKEN)
        async with (
            gateway as url,
            httpx2.AsyncClient(base_url=url, headers={"x-api-key": TOKEN}, trust_env=False, timeout=20) as client,
        ):
            yield gateway, run, upstream, client


def message_of(response: httpx2.Response) -> str:
    body = response.json()
    assert body["type"] == "error"
    assert response.headers["x-should-retry"] == "false"
    return str(body["error"]["message"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": TOKEN}, 200),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer {TOKEN}"}, 200),
        ({}, 401),
        ({"x-api-key": ""}, 401),
        ({"x-api-key": TOKEN[:-1]}, 401),
        ({"x-api-key": TOKEN + "0"}, 401),
        ({"x-api-key": "wrong", "authorization": f"Bearer {TOKEN}"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": TOKEN}, 401),
        ({"x-api-key": "\u00e4".encode("latin-1")}, 401),
    ],
)
async def test_only_the_token_of_the_run_passes(workdir: Path, headers: dict[str, str], status: int) -> None:
    async with standing(workdir) as (gateway, run, _, client):
        del client.headers["x-api-key"]
        response = await client.post("/v1/messages", content=BODY, headers=headers)
    assert response.status_code == status
    assert len(run.asked) == (status == 200)
    assert gateway.refusal is None
    if status == 401:
        assert message_of(response) == "The token is not that of this run."
        assert response.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/api/hello"),
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/"),
        ("POST", "/v1/complete"),
    ],
)
async def test_nothing_else_is_served(workdir: Path, method: str, path: str) -> None:
    async with standing(workdir) as (_, run, _, client):
        response = await client.request(method, path, content=BODY if method == "POST" else None)
    assert response.status_code == 404
    assert run.asked == []


async def test_the_request_reaches_the_model_door_without_a_credential(workdir: Path) -> None:
    async with standing(workdir) as (_, run, upstream, client):
        headers = {
            "authorization": f"Bearer {TOKEN}",
            "x-claude-code-agent-id": "agent-7",
            "X-Odd": "Kept",
            "cookie": "c",
        }
        for _ in range(2):
            await client.post("/v1/messages?beta=true&x=%20", content=BODY, headers=headers)
    first, second = run.asked
    assert (first.body, first.query, first.agent_id, first.model) == (BODY, "beta=true&x=%20", "agent-7", "sonnet")
    assert first.id != second.id
    names = [name for name, _ in first.headers]
    assert dict(first.headers)["x-odd"] == "Kept"
    assert not {"x-api-key", "authorization", "cookie"} & set(names)
    assert TOKEN not in str(first.headers)
    assert TOKEN not in str(upstream.requests[0].headers)
    assert upstream.requests[0].headers["x-api-key"] == "sk-real"


async def test_a_main_agents_request_names_no_agent(workdir: Path) -> None:
    async with standing(workdir) as (_, run, _, client):
        await client.post("/v1/messages", content=BODY)
    assert run.asked[0].agent_id is None


@pytest.mark.parametrize("sized", [True, False])
async def test_what_the_upstream_sent_comes_out_byte_for_byte(workdir: Path, sized: bool) -> None:
    parts = [b"event: a\nda", b'ta: {"x":', b" 1}\n", b"\n", bytes(range(256)) * 40, b"\xff", b"\r\n0\r\n\r\n", b"end"]

    async def handler(received: Received, response: Response) -> None:
        length = {"content-length": str(sum(map(len, parts)))} if sized else {}
        await response.start(
            200, {"content-type": "text/event-stream", "request-id": "r9", **length}, chunked=not sized
        )
        for part in parts:
            await response.chunk(part)
            await asyncio.sleep(0)
        await response.end()

    async with standing(workdir, handler) as (_, _, _, client):
        response = await client.post("/v1/messages", content=BODY)
    assert response.content == b"".join(parts)
    assert response.headers["request-id"] == "r9"
    assert response.headers["content-type"] == "text/event-stream"
    assert ("content-length" in response.headers) is sized


async def test_the_first_chunk_comes_out_before_the_upstream_has_finished(workdir: Path) -> None:
    go_on = asyncio.Event()

    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.chunk(b"first")
        await go_on.wait()
        await response.chunk(b"second")
        await response.end()

    with anyio.fail_after(20):
        async with (
            standing(workdir, handler) as (_, _, _, client),
            client.stream("POST", "/v1/messages", content=BODY) as response,
        ):
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"first"
            go_on.set()
            assert b"".join([chunk async for chunk in chunks]) == b"second"


@pytest.mark.parametrize("started", [True, False])
async def test_a_client_that_goes_away_cancels_the_upstream(workdir: Path, started: bool) -> None:
    async def handler(received: Received, response: Response) -> None:
        if started:
            await response.start(200, {})
            await response.chunk(b"first")
        await asyncio.Event().wait()

    with anyio.fail_after(20):
        async with standing(workdir, handler) as (gateway, run, upstream, client):
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    await client.post("/v1/messages", content=BODY)

                group.start_soon(ask)
                await upstream.arrived.wait()
                group.cancel_scope.cancel()
            await upstream.gone.wait()
            assert gateway.refusal is None
            assert not run.of(Notice)


async def test_closing_does_not_wait_for_a_hung_upstream(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await asyncio.Event().wait()

    with anyio.fail_after(20):
        async with serving(handler) as upstream:
            environ = {"ANTHROPIC_API_KEY": "sk", "ANTHROPIC_BASE_URL": upstream.url}
            async with anyio.create_task_group() as group, httpx2.AsyncClient(trust_env=False, timeout=None) as client:
                async with Gateway(FakeRun(workdir, AnthropicProvider(environ)), TOKEN) as url:

                    async def ask() -> None:
                        with pytest.raises(httpx2.TransportError):
                            await client.post(f"{url}/v1/messages", content=BODY, headers={"x-api-key": TOKEN})

                    group.start_soon(ask)
                    await upstream.arrived.wait()
                await upstream.gone.wait()
                with pytest.raises(httpx2.ConnectError):
                    await client.get(url)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BudgetError("The budget is used up.", "why", "fix"), 402, "billing_error"),
        (DeniedError("A guard refused."), 403, "permission_error"),
        (UsageError("No price."), 400, "invalid_request_error"),
        (SettingsError("A setting is wrong."), 400, "invalid_request_error"),
        (LLMOSError("Something else."), 500, "api_error"),
    ],
)
async def test_a_refusal_is_told_kept_and_final(workdir: Path, error: LLMOSError, status: int, kind: str) -> None:
    async with standing(workdir) as (gateway, run, upstream, client):
        run.ask_fault = error
        first = await client.post("/v1/messages", content=BODY)
        run.ask_fault = BudgetError("Another one.")
        second = await client.post("/v1/messages", content=BODY)
    for response in (first, second):
        assert response.status_code == status
        assert response.json()["error"] == {"type": kind, "message": str(error)}
        assert message_of(response) == str(error)
    assert gateway.refusal is error
    assert len(run.asked) == 1
    assert upstream.requests == []


def test_the_first_refusal_stands(workdir: Path) -> None:
    gateway, first = Gateway(FakeRun(workdir), TOKEN), UsageError("First.")
    assert gateway.refuse(first) is first
    assert gateway.refuse(BudgetError("Second.")) is first
    assert gateway.refusal is first


async def test_a_fault_of_our_own_ends_the_run_as_well(workdir: Path) -> None:
    async with standing(workdir) as (gateway, run, _, client):
        run.ask_fault = KeyError("lost")
        response = await client.post("/v1/messages", content=BODY)
    assert response.status_code == 500
    assert gateway.refusal is not None
    assert message_of(response) == str(gateway.refusal)
    assert gateway.refusal.why == "KeyError: 'lost'"


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"model": 3}', b"\xff"])
async def test_a_body_that_is_no_request_is_refused(workdir: Path, body: bytes) -> None:
    async with standing(workdir) as (gateway, run, _, client):
        response = await client.post("/v1/messages", content=body)
    assert response.status_code == 400
    assert message_of(response).startswith("The model request ")
    assert isinstance(gateway.refusal, UsageError)
    assert run.asked == []


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_too_large_is_refused(workdir: Path, declared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 100_000)

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 30_000

    async with standing(workdir) as (gateway, run, _, client):
        response = await client.post("/v1/messages", content=b" " * 150_000 if declared else stream())
        assert response.status_code == 413
        assert message_of(response) == "The request is larger than 100000 bytes."
        largest = BODY.ljust(100_000)
        assert (await client.post("/v1/messages", content=largest)).status_code == 200
    assert [request.body for request in run.asked] == [largest]
    assert gateway.refusal is None


async def test_a_request_that_breaks_off_is_nothing(workdir: Path) -> None:
    with anyio.fail_after(20):
        async with standing(workdir) as (gateway, run, _, client):
            host, port = client.base_url.host, client.base_url.port
            stream = await anyio.connect_tcp(host, port)
            head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {TOKEN}\r\ncontent-length: 100\r\n\r\n"
            await stream.send(head.encode() + b'{"model":')
            await stream.aclose()
            assert (await client.post("/v1/messages", content=BODY)).status_code == 200
    assert gateway.refusal is None
    assert len(run.asked) == 1


async def test_an_error_of_the_model_passes_unchanged_and_is_remembered(workdir: Path) -> None:
    body = b'{"type": "error",  "error": {"type": "overloaded_error", "message": "Overloaded"}}'

    async def handler(received: Received, response: Response) -> None:
        await response.start(529, {"content-type": "application/json", "retry-after": "3"})
        await response.chunk(body[:11])
        await response.chunk(body[11:])
        await response.end()

    async with standing(workdir, handler) as (gateway, _, upstream, client):
        response = await client.post("/v1/messages", content=BODY)
        assert (response.status_code, response.content) == (529, body)
        assert response.headers["retry-after"] == "3"
        assert "x-should-retry" not in response.headers
        assert gateway.failure == "Overloaded"
        upstream.handler = fine
        assert (await client.post("/v1/messages", content=BODY)).content == b"fine"
    assert gateway.failure == ""
    assert gateway.refusal is None


async def test_a_wrong_key_is_not_tried_again(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(401, {})
        await response.chunk(b"<html>no</html>")
        await response.end()

    async with standing(workdir, handler) as (gateway, _, _, client):
        response = await client.post("/v1/messages", content=BODY)
    assert (response.status_code, response.content) == (401, b"<html>no</html>")
    assert response.headers["x-should-retry"] == "false"
    assert gateway.failure == "<html>no</html>"


async def test_a_reply_that_breaks_off_is_seen_to_break_off(workdir: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.chunk(b"first")

    async with standing(workdir, handler) as (gateway, run, _, client):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post("/v1/messages", content=BODY)
    [notice] = run.of(Notice)
    assert notice.level == "warning"
    assert notice.text.startswith("A model's reply broke off: RemoteProtocolError")
    assert gateway.failure == notice.text
    assert gateway.refusal is None
    assert not gateway.cut.is_set()


async def test_a_refusal_within_a_reply_cuts_it_off(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stalled = ModelStalledError("The model's reply stalled.", "why", "fix")

    @asynccontextmanager
    async def ask(request: ModelRequest) -> AsyncIterator[ModelReply]:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            raise stalled

        yield ModelReply(200, chunks())

    async with standing(workdir) as (gateway, run, _, client):
        monkeypatch.setattr(run, "ask", ask)
        assert not gateway.cut.is_set()
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post("/v1/messages", content=BODY)
        assert gateway.cut.is_set()
        assert gateway.refusal is stalled
        assert (await client.post("/v1/messages", content=BODY)).status_code == 500
    assert not run.of(Notice)


async def test_it_listens_on_loopback_only_and_takes_no_signal(workdir: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with Gateway(FakeRun(workdir), TOKEN) as url:
        assert url.startswith("http://127.0.0.1:")
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_the_servers_log_stays_off_the_terminal(workdir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    kept, root.handlers = root.handlers, []
    try:
        async with standing(workdir) as (_, _, _, client):
            stream = await anyio.connect_tcp(client.base_url.host, client.base_url.port)
            await stream.send(b"nonsense\r\n\r\n")
            assert b"400" in await stream.receive()
            await stream.aclose()
    finally:
        root.handlers = kept
    assert capfd.readouterr() == ("", "")

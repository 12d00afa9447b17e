"""The provider: forwards bytes, keeps the key to itself."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_core import ModelRequest, Task, UsageError
from llmos_plugin_claude.anthropic import AnthropicProvider
from llmos_plugin_claude.settings import ClaudeSettings

from .fakes import FakeRun
from .upstream import Received, Response, serving

KEY = "sk-ant-secret-key"
BODY = b'{"model": "sonnet",  "messages": [ ], "text": "\\u00e4 \xc3\xa4"}'


def provider(url: str) -> AnthropicProvider:
    return AnthropicProvider({"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url})


def request(headers: tuple[tuple[str, str], ...] = (), query: str = "") -> ModelRequest:
    return ModelRequest.parse("r1", BODY, headers, query)


async def test_the_request_arrives_byte_for_byte_with_the_key(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.end()

    headers = (
        ("anthropic-version", "2023-06-01"),
        ("user-agent", "claude-cli/2"),
        ("x-api-key", "run-token"),
        ("authorization", "Bearer run-token"),
        ("host", "127.0.0.1:1"),
        ("connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("accept-encoding", "gzip, br"),
    )
    async with serving(handler) as upstream:
        async with provider(upstream.url + "/").open(request(headers, "beta=true"), FakeRun(workdir)) as reply:
            assert [chunk async for chunk in reply.chunks] == []
        [received] = upstream.requests
    assert (received.method, received.target, received.body) == ("POST", "/v1/messages?beta=true", BODY)
    assert received.headers["x-api-key"] == KEY
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["anthropic-version"] == "2023-06-01"
    assert received.headers["user-agent"] == "claude-cli/2"
    assert received.headers["host"] == upstream.url.removeprefix("http://")
    assert received.headers["content-length"] == str(len(BODY))
    assert "authorization" not in received.headers
    assert "transfer-encoding" not in received.headers


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(min_size=1, max_size=300), max_size=8), sized=st.booleans())
def test_the_reply_comes_back_byte_for_byte(workdir: Path, chunks: list[bytes], sized: bool) -> None:
    body = b"".join(chunks)

    async def handler(received: Received, response: Response) -> None:
        length = {"content-length": str(len(body))} if sized else {}
        await response.start(418, {"x-odd": "kept", "content-encoding": "gzip", **length}, chunked=not sized)
        for chunk in chunks:
            await response.chunk(chunk)
        await response.end()

    async def ask() -> None:
        async with serving(handler) as upstream, provider(upstream.url).open(request(), FakeRun(workdir)) as reply:
            assert b"".join([chunk async for chunk in reply.chunks]) == body
            headers = dict(reply.headers)
        assert reply.status == 418
        assert headers["x-odd"] == "kept"
        assert headers["content-encoding"] == "gzip"
        assert headers.get("content-length") == (str(len(body)) if sized else None)
        assert "connection" not in headers
        assert "transfer-encoding" not in headers

    anyio.run(ask)


async def test_the_first_chunk_arrives_before_the_upstream_has_finished(workdir: Path) -> None:
    go_on = asyncio.Event()

    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {"content-type": "text/event-stream"})
        await response.chunk(b"first")
        await go_on.wait()
        await response.chunk(b"second")
        await response.end()

    with anyio.fail_after(20):
        async with serving(handler) as upstream, provider(upstream.url).open(request(), FakeRun(workdir)) as reply:
            chunks = aiter(reply.chunks)
            assert await anext(chunks) == b"first"
            go_on.set()
            assert b"".join([chunk async for chunk in chunks]) == b"second"


async def test_leaving_a_reply_early_ends_the_upstream(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.chunk(b"first")
        await asyncio.Event().wait()

    with anyio.fail_after(20):
        async with serving(handler) as upstream:
            async with provider(upstream.url).open(request(), FakeRun(workdir)) as reply:
                assert await anext(aiter(reply.chunks)) == b"first"
            await upstream.gone.wait()


async def test_an_upstream_out_of_reach_is_a_reply_without_the_key(workdir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with provider(f"http://someone:{KEY}@{address}").open(request(), FakeRun(workdir)) as reply:
            body = b"".join([chunk async for chunk in reply.chunks])
    assert reply.status == 502
    error = json.loads(body)
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert error["error"]["message"].startswith(f"{address} could not be reached: ")
    assert KEY not in body.decode()


async def test_the_settings_go_before_the_environment(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.end()

    async with serving(handler) as upstream:
        run = FakeRun(workdir, settings=ClaudeSettings(base_url=f"{upstream.url}/proxy"))
        async with provider("http://127.0.0.1:1").open(request(), run) as reply:
            assert reply.status == 200
        assert upstream.requests[0].target == "/proxy/v1/messages"


@pytest.mark.parametrize(
    ("url", "priced"),
    [
        ("", True),
        ("https://api.anthropic.com", True),
        ("https://127.0.0.1.example.com", True),
        ("http://10.0.0.1:8080", True),
        ("http://127.0.0.1:8080", False),
        ("http://127.9.9.9/", False),
        ("http://[::1]:8080/", False),
        ("http://localhost:11434", False),
        ("http://LOCALHOST", False),
    ],
)
def test_a_model_on_loopback_has_no_price(url: str, priced: bool, workdir: Path) -> None:
    assert provider(url).priced("sonnet", FakeRun(workdir)) is priced


def test_the_price_follows_the_base_url_of_the_settings(workdir: Path) -> None:
    local = ClaudeSettings(base_url="http://localhost:11434")
    assert not provider("").priced("sonnet", FakeRun(workdir, settings=local))
    assert provider("").priced("sonnet", FakeRun(workdir))


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "ANTHROPIC_API_KEY is not set"),
        ({"ANTHROPIC_API_KEY": " \n"}, "ANTHROPIC_API_KEY is not set"),
        ({"ANTHROPIC_API_KEY": "sk-test\n"}, None),
    ],
)
def test_it_says_why_it_is_not_ready(environ: dict[str, str], reason: str | None) -> None:
    assert AnthropicProvider(environ).unready() == reason


@pytest.mark.parametrize(
    ("environ", "what"),
    [
        ({"ANTHROPIC_API_KEY": "sk-a\nb"}, "ANTHROPIC_API_KEY holds a character that no key has."),
        ({"ANTHROPIC_API_KEY": "sk-ä"}, "ANTHROPIC_API_KEY holds a character that no key has."),
        (
            {"ANTHROPIC_API_KEY": "sk", "ANTHROPIC_BASE_URL": "localhost:80"},
            "ANTHROPIC_BASE_URL is not an http or https address.",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_not_passed_over(environ: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        AnthropicProvider(environ).unready()
    assert caught.value.what == what


def test_what_it_says_of_itself(workdir: Path) -> None:
    subject = provider("")
    assert (subject.name, subject.billing, subject.fallback) == ("anthropic", "real", False)
    assert subject.secrets() == (KEY,)
    assert AnthropicProvider({}).secrets() == ()
    assert subject.notices() == ()
    subject.check(Task(goal="anything"), FakeRun(workdir))
    assert KEY not in repr(subject)

"""The provider: forwards bytes, keeps the key to itself."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_core import ModelRequest, SettingsError, Task, UsageError
from llmos_plugin_claude.models import anthropic as module
from llmos_plugin_claude.models.anthropic import CONNECT_AGAIN_S, AnthropicProvider
from llmos_plugin_claude.models.credentials import store_key
from llmos_plugin_claude.settings import ClaudeSettings
from llmos_testkit import Received, Response, serving

from .fakes import FakeRun

KEY = "sk-ant-secret-key"
NO_KEY = "ANTHROPIC_API_KEY is not set, and no key is stored (llmos init)"
BODY = b'{"model": "sonnet",  "messages": [ ], "text": "\\u00e4 \xc3\xa4"}'


def provider(url: str, settings: ClaudeSettings | None = None) -> AnthropicProvider:
    return AnthropicProvider({"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url}, settings)


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
    assert dict(reply.headers)["x-should-retry"] == "false"
    error = json.loads(body)
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    message = error["error"]["message"]
    assert (
        message == f"{address} could not be reached: Connection refused. Is the server started, and is this its port?"
    )


async def test_a_name_that_is_not_known_may_be_an_outage(workdir: Path) -> None:
    async with provider("https://nowhere.invalid").open(request(), FakeRun(workdir)) as reply:
        body = b"".join([chunk async for chunk in reply.chunks])
    assert reply.status == 502
    assert "x-should-retry" not in dict(reply.headers)
    assert b"nowhere.invalid could not be reached: " in body


@asynccontextmanager
async def raw_server(answer: bytes | None) -> AsyncIterator[str]:
    """A server that knows no HTTP: it answers the first bytes, or keeps silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_server_without_tls_is_not_asked_again(workdir: Path) -> None:
    async with (
        raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url,
        provider(url).open(request(), FakeRun(workdir)) as reply,
    ):
        body = b"".join([chunk async for chunk in reply.chunks])
    assert reply.status == 502
    assert dict(reply.headers)["x-should-retry"] == "false"
    assert b"wrong version number" in body


async def test_a_server_that_takes_too_long_to_connect_is_given_up(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.2)
    async with raw_server(None) as url, provider(url).open(request(), FakeRun(workdir)) as reply:
        body = b"".join([chunk async for chunk in reply.chunks])
    assert reply.status == 502
    assert b"could not be reached: no connection within 0.2 s." in body


async def test_a_connection_that_was_refused_is_tried_again(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.end()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pauses: list[float] = []
    async with AsyncExitStack() as later:

        async def wait(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == len(CONNECT_AGAIN_S):
                await later.enter_async_context(serving(handler, port))

        monkeypatch.setattr(module.anyio, "sleep", wait)
        async with provider(f"http://127.0.0.1:{port}").open(request(), FakeRun(workdir)) as reply:
            assert reply.status == 200
    assert pauses == list(CONNECT_AGAIN_S)


async def test_a_request_that_was_sent_is_not_sent_again(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        return None

    async with serving(handler) as upstream:
        async with provider(upstream.url).open(request(), FakeRun(workdir)) as reply:
            assert reply.status == 502
        assert len(upstream.requests) == 1


async def test_the_settings_go_before_the_environment(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.end()

    async with serving(handler) as upstream:
        subject = provider("http://127.0.0.1:1", ClaudeSettings(base_url=f"{upstream.url}/proxy"))
        async with subject.open(request(), FakeRun(workdir)) as reply:
            assert reply.status == 200
        [received] = upstream.requests
    assert received.target == "/proxy/v1/messages"
    assert "x-api-key" not in received.headers


async def test_a_server_of_the_users_own_gets_the_key(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(200, {})
        await response.end()

    async with serving(handler) as upstream:
        subject = provider("", ClaudeSettings(upstream_url=upstream.url))
        async with subject.open(request(), FakeRun(workdir)) as reply:
            assert reply.status == 200
        assert upstream.requests[0].headers["x-api-key"] == KEY


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
    assert not provider("", ClaudeSettings(base_url="http://localhost:11434")).priced("sonnet", FakeRun(workdir))
    assert provider("").priced("sonnet", FakeRun(workdir))


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, NO_KEY),
        ({"ANTHROPIC_API_KEY": " \n"}, NO_KEY),
        ({"ANTHROPIC_API_KEY": "sk-test\n"}, None),
        ({"ANTHROPIC_BASE_URL": "https://gateway.example"}, NO_KEY),
        ({"ANTHROPIC_BASE_URL": "http://localhost:4000"}, None),
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
        (
            {"ANTHROPIC_API_KEY": "sk", "ANTHROPIC_BASE_URL": "http://me:pw@192.168.0.9:80/x"},
            "The model's server is asked in the clear: 192.168.0.9:80",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_not_passed_over(environ: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError) as caught:
        AnthropicProvider(environ).unready()
    assert caught.value.what == what


def stored(tmp_path: Path, text: str = f'[anthropic]\napi_key = "{KEY}"\n', mode: int = 0o600) -> Path:
    path = tmp_path / "credentials.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_stored_key_is_used_where_the_environment_has_none(tmp_path: Path) -> None:
    subject = AnthropicProvider({}, credentials=stored(tmp_path))
    assert (subject.unready(), subject.secrets()) == (None, (KEY,))
    other = AnthropicProvider({"ANTHROPIC_API_KEY": "sk-of-the-environment"}, credentials=stored(tmp_path))
    assert other.secrets() == ("sk-of-the-environment",)
    assert AnthropicProvider({}, credentials=tmp_path / "none.toml").unready() == NO_KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_stored_key_that_others_may_use_is_refused(mode: int, tmp_path: Path) -> None:
    path = stored(tmp_path, mode=mode)
    subject = AnthropicProvider({}, credentials=path)
    with pytest.raises(SettingsError) as caught:
        subject.unready()
    assert caught.value.what == f"The file {path} is not private."
    assert caught.value.fix == f"Make it private: chmod 600 {path}"
    assert subject.secrets() == ()
    path.chmod(0o600)
    assert AnthropicProvider({}, credentials=path).unready() is None


@pytest.mark.parametrize(
    "text", ["anthropic", f"[anthropic]\napi_key = {KEY}", "[anthropic]\napi_key = 1", "anthropic = 1", "\udcff"]
)
def test_a_broken_file_is_told_without_what_it_holds(text: str, tmp_path: Path) -> None:
    path = stored(tmp_path)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError) as caught:
        AnthropicProvider({}, credentials=path).unready()
    assert str(path) in caught.value.what
    assert KEY not in str(caught.value)


def test_a_local_server_needs_no_key_even_if_there_is_a_bad_one(tmp_path: Path) -> None:
    local = ClaudeSettings(base_url="http://localhost:11434")
    assert AnthropicProvider({}, local).unready() is None
    assert AnthropicProvider({}, local, stored(tmp_path, mode=0o644)).unready() is None
    assert AnthropicProvider({}, local).notices() == ("The model is served by localhost:11434.",)


def test_storing_keeps_the_rest_and_lets_nobody_else_read(tmp_path: Path) -> None:
    path = stored(tmp_path, '# mine\n[other]\napi_key = "x"\n', mode=0o644)
    store_key(path, KEY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith('# mine\n[other]\napi_key = "x"\n')
    assert AnthropicProvider({}, credentials=path).secrets() == (KEY,)
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def test_what_it_says_of_itself(workdir: Path) -> None:
    subject = provider("")
    assert (subject.name, subject.billing, subject.fallback) == ("anthropic", "real", False)
    assert subject.secrets() == (KEY,)
    assert AnthropicProvider({}).secrets() == ()
    assert subject.notices() == ()
    subject.check(Task(goal="anything"), FakeRun(workdir))
    assert KEY not in repr(subject)

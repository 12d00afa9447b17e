"""The scripted model: what goes over the wire, and what goes wrong on it."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest

from llmos_testkit import (
    Received,
    Reply,
    Response,
    ScriptedModel,
    api_error,
    drop,
    hang,
    in_order,
    scripted,
    serving,
    stall,
    text,
    tool_use,
    turns,
    use,
)


def connect(url: str, timeout_s: float = 20) -> HTTPConnection:
    place = urlsplit(url)
    assert place.hostname is not None
    return HTTPConnection(place.hostname, place.port, timeout=timeout_s)


def send(connection: HTTPConnection, said: int = 0, *, stream: bool = True, **headers: str) -> None:
    messages = [{"role": "user", "content": "x"}, *[{"role": "assistant", "content": "x"}] * said]
    body = json.dumps({"model": "m", "max_tokens": 5, "messages": messages, "stream": stream})
    connection.request("POST", "/v1/messages", body, {"x-api-key": "k", **headers})


def ask(url: str, said: int = 0, *, stream: bool = True, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    connection = connect(url)
    try:
        send(connection, said, stream=stream, **headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


def kinds(body: bytes) -> list[str]:
    return [event["type"] for event in events(body)]


def test_a_reply_is_streamed(scripted_model: ScriptedModel) -> None:
    words = text(["Hel", "lo"])
    scripted_model.replies(Reply([words, use("Bash", command="ls")], input_tokens=7, output_tokens=9))
    status, headers, body = ask(scripted_model.url)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert kinds(body) == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 2,
        *("content_block_stop", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    deltas = [event["delta"] for event in events(body) if event["type"] == "content_block_delta"]
    assert [delta.get("text") for delta in deltas[:2]] == ["Hel", "lo"]
    assert json.loads(deltas[2]["partial_json"]) == {"command": "ls"}
    [start, *_, end, _] = events(body)
    assert start["message"]["usage"] == {"input_tokens": 7, "output_tokens": 1}
    assert (end["delta"]["stop_reason"], end["usage"]) == ("tool_use", {"output_tokens": 9})


def test_a_reply_is_whole_where_no_stream_was_asked_for(scripted_model: ScriptedModel) -> None:
    scripted_model.replies(Reply([text("Hi."), tool_use("Look")], stop_reason="max_tokens"))
    _, headers, body = ask(scripted_model.url, stream=False)
    message = json.loads(body)
    assert headers["content-type"] == "application/json"
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 20)


def test_every_message_and_call_has_an_id_of_its_own(scripted_model: ScriptedModel) -> None:
    scripted_model.replies([tool_use("A"), tool_use("A")])
    messages = [json.loads(ask(scripted_model.url, stream=False)[2]) for _ in range(2)]
    ids = [message["id"] for message in messages]
    ids += [block["id"] for message in messages for block in message["content"]]
    assert len(set(ids)) == 6


def test_turns_go_by_the_conversation(scripted_model: ScriptedModel) -> None:
    scripted_model.replies("one", "two", agent=["sub"])
    for said, wanted in ((1, b"two"), (0, b"one"), (0, b"one")):
        assert wanted in ask(scripted_model.url, said)[2]
    assert b"sub" in ask(scripted_model.url, **{"x-claude-code-agent-id": "a1"})[2]
    assert [request.agent_id for request in scripted_model.requests] == [None, None, None, "a1"]
    assert scripted_model.requests[0].turn == 1


def test_failures_come_in_order(scripted_model: ScriptedModel) -> None:
    scripted_model.script = in_order(api_error(529, "overloaded_error", "Busy", retry_after="1"), "Done.")
    status, headers, body = ask(scripted_model.url)
    assert (status, headers["retry-after"]) == (529, "1")
    assert json.loads(body)["error"] == {"type": "overloaded_error", "message": "Busy"}
    assert b"Done." in ask(scripted_model.url)[2]


def test_a_connection_is_cut(scripted_model: ScriptedModel) -> None:
    scripted_model.script = in_order(drop("I was about"), drop())
    with pytest.raises(IncompleteRead) as caught:
        ask(scripted_model.url)
    assert kinds(caught.value.partial)[-1] in ("content_block_delta", "content_block_stop")
    with pytest.raises(RemoteDisconnected):
        ask(scripted_model.url)


@pytest.mark.parametrize(("reply", "begun"), [(stall("I was"), True), (hang(), False)], ids=["stall", "hang"])
def test_a_model_falls_silent(scripted_model: ScriptedModel, reply: Reply, begun: bool) -> None:
    scripted_model.replies(reply)
    connection = connect(scripted_model.url, timeout_s=0.3)
    send(connection)
    if begun:
        answer = connection.getresponse()
        assert b"message_start" in answer.readline() + answer.readline()
        with pytest.raises(TimeoutError):
            answer.read()
    else:
        with pytest.raises(TimeoutError):
            connection.getresponse()
    connection.close()


def test_what_is_no_message(scripted_model: ScriptedModel) -> None:
    scripted_model.models += ["one", "two"]
    connection = connect(scripted_model.url)
    connection.request("GET", "/v1/models?limit=5")
    assert json.load(connection.getresponse())["data"] == [{"id": "one"}, {"id": "two"}]
    connection.close()
    connection = connect(scripted_model.url)
    connection.request("HEAD", "/")
    assert connection.getresponse().status == 404
    connection.close()
    assert scripted_model.requests == []
    with socket.create_connection((connection.host, connection.port or 0)):
        pass  # somebody who only looks whether there is a server


async def test_a_server_in_the_tests_own_loop() -> None:
    async with serving(scripted(turns("Hello."))) as server:
        _, _, body = await anyio.to_thread.run_sync(ask, server.url)
    assert b"Hello." in body
    assert [request.message["model"] for request in server.requests] == ["m"]
    with pytest.raises(ConnectionRefusedError):
        await anyio.to_thread.run_sync(ask, server.url)


async def test_a_client_that_leaves_is_noticed() -> None:
    async with serving(scripted(turns(hang()))) as server:
        connection = connect(server.url)
        await anyio.to_thread.run_sync(send, connection)
        with anyio.fail_after(20):
            await server.arrived.wait()
            assert not server.gone.is_set()
            connection.close()
            await server.gone.wait()


async def test_what_a_handler_raises_is_raised_at_the_end() -> None:
    async def broken(received: Received, response: Response) -> None:
        raise ZeroDivisionError("in the handler")

    def cut(url: str) -> None:
        with pytest.raises(RemoteDisconnected):
            ask(url)

    with pytest.raises(ZeroDivisionError):
        async with serving(broken) as server:
            await anyio.to_thread.run_sync(cut, server.url)


async def test_what_a_handler_raises_does_not_hide_the_tests_own_fault() -> None:
    async def broken(received: Received, response: Response) -> None:
        raise ZeroDivisionError("in the handler")

    async def fail(url: str) -> None:
        with pytest.raises(RemoteDisconnected):
            await anyio.to_thread.run_sync(ask, url)
        raise LookupError("the test's own")

    async def use_it() -> None:
        async with serving(broken) as server:
            await fail(server.url)

    with pytest.raises(LookupError, match="the test's own"):
        await use_it()


def results_of(content: Sequence[Any]) -> list[Any]:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
    return Received("POST", "/", {}, body).results()


def test_the_results_of_tools_are_found() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "out"}
    assert results_of([text("x"), result]) == [result]
    assert results_of("only words") == []

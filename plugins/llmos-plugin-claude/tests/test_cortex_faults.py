"""What goes wrong under the cortex: told, asked again where that is safe, and ended without remains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import (
    AgentFinished,
    AgentSpec,
    AgentStarted,
    ExitCode,
    ModelStalledError,
    Notice,
    Result,
    Task,
    ToolResult,
)
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_plugin_claude.settings import ClaudeSettings
from llmos_testkit import Received, Response, api_error, scripted, text, turns
from llmos_testkit.messages import Block

from .cortex_parts import (
    CORTEX,
    HELPER,
    LIMIT_S,
    UNUSABLE,
    KeepingRun,
    delegation,
    failed,
    learn,
    machine,
    raw,
    use,
)
from .fakes import Echo


@pytest.mark.parametrize("agents", [{}, {"helper": HELPER}])
async def test_a_refused_request_ends_the_run_at_once(workdir: Path, agents: dict[str, AgentSpec]) -> None:
    script = turns([delegation("p"), delegation("q")] if agents else [use("Echo", text="x")], [text("Never mind.")])
    async with machine(workdir, script, agents=agents) as (run, upstream):
        run.requests_left = 1
        result = await learn(run)
    assert failed(result, "The budget is used up.", ExitCode.BUDGET) == "It was $1."
    assert len(upstream.requests) == 1
    assert len(run.of(AgentStarted)) == len(run.of(AgentFinished)) == 2 * len(agents)
    # The main agent does not go on after the refusal of its agents.
    assert sum(request.agent_id is None for request in run.asked) == (1 if agents else 2)


async def test_a_broken_door_ends_the_run(workdir: Path) -> None:
    async with machine(workdir, turns([use("Echo", text="x")], [text("Done.")])) as (run, upstream):
        run.call_fault = OSError("disk full")
        result = await learn(run)
        assert failed(result, "The run met a fault of LLM OS itself.") == "OSError: disk full"
        assert len(upstream.requests) == 1
        run.ask_fault = OSError("disk full")
        assert failed(await learn(run), "The run met a fault of LLM OS itself.") == "OSError: disk full"


@pytest.mark.parametrize(
    ("status", "requests", "fix"),
    [
        (400, 1, "Ask for less, or correct the setting that the server names."),
        (401, 1, "Check ANTHROPIC_API_KEY."),
        (403, 1, "Check what the API key may do."),
        (404, 1, "Check the model's name."),
        (429, 3, "Wait a while, or ask for higher limits of the account."),
        (500, 3, "Try again later."),
        (529, 3, "The model is overloaded: try again later, or with another --model."),
    ],
)
async def test_an_error_of_the_model_is_the_runs(workdir: Path, status: int, requests: int, fix: str) -> None:
    settings = ClaudeSettings(engine="cortex", max_retries=2)
    script = lambda _: api_error(status, "some_error", "so\n it is")  # noqa: E731
    async with machine(workdir, script, settings=settings) as (run, upstream):
        result = await learn(run)
    what = "The model refused a request" if status < 500 else "The model failed to answer"
    assert failed(result, f"{what} (HTTP {status}).") == "so it is"
    assert result.error is not None
    assert result.error.fix == fix
    assert len(upstream.requests) == requests
    assert [event.text for event in run.of(Notice)] == [
        f"The model did not answer ({status}); attempt {attempt} follows in 0.0 s." for attempt in range(1, requests)
    ]


@pytest.mark.parametrize("after", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_busy_server_says_when_to_ask_again(workdir: Path, after: str) -> None:
    async def handler(received: Received, response: Response) -> None:
        if len(upstream.requests) > 1:
            return await scripted(lambda _: [text("Here I am.")])(received, response)
        await response.start(529, {"content-type": "application/json", "retry-after": after})
        return await response.end()

    async with machine(workdir, handler) as (run, upstream):
        assert await learn(run, backoff_s=LIMIT_S * 10) == Result(success=True, output="Here I am.")
    assert [event.text for event in run.of(Notice)] == ["The model did not answer (529); attempt 1 follows in 0.0 s."]


async def test_a_server_that_asks_for_too_long_a_pause_is_not_waited_for(workdir: Path) -> None:
    async def handler(received: Received, response: Response) -> None:
        await response.start(429, {"content-type": "application/json", "retry-after": "3600"})
        await response.end()

    async with machine(workdir, handler) as (run, upstream):
        failed(await learn(run), "The model refused a request (HTTP 429).")
    assert len(upstream.requests) == 1


START = b'data: {"type": "message_start", "message": {}}\n\n'
OVERLOADED = b'data: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
INVALID = OVERLOADED.replace(b"overloaded", b"invalid_request")


@pytest.mark.parametrize(
    ("body", "kind", "what", "why", "requests"),
    [
        (START, "text/event-stream", UNUSABLE, "It broke off: it ended before it was complete", 1),
        (b": ping\n\n", "text/event-stream", UNUSABLE, "It cannot be read: : ping", 1),
        (b"<html>\n<p>Sign in", "text/html", UNUSABLE, "It cannot be read: <html> <p>Sign in", 1),
        (START + b"data: {nonsense\n\n", "text/event-stream", UNUSABLE, "It cannot be read: {nonsense", 1),
        (START + OVERLOADED, "text/event-stream", UNUSABLE, "It broke off: Overloaded", 1),
        (INVALID, "text/event-stream", UNUSABLE, "It broke off: Overloaded", 1),
        (OVERLOADED, "text/event-stream", UNUSABLE, "It broke off: Overloaded", 3),
        (b'{"content": [', "application/json", UNUSABLE, 'It cannot be read: {"content": [', 1),
        (b'{"content": 3}', "application/json", UNUSABLE, 'It cannot be read: {"content": 3}', 1),
    ],
)
async def test_a_reply_that_cannot_be_used(
    workdir: Path, body: bytes, kind: str, what: str, why: str, requests: int
) -> None:
    settings = ClaudeSettings(engine="cortex", max_retries=2)
    async with machine(workdir, raw(body, kind=kind), settings=settings) as (run, upstream):
        assert failed(await learn(run), what) == why
    assert len(upstream.requests) == requests


@pytest.mark.parametrize(("begun", "requests"), [(False, 2), (True, 1)])
async def test_a_dropped_reply_is_asked_for_again_only_if_nothing_came(
    workdir: Path, begun: bool, requests: int
) -> None:
    async def handler(received: Received, response: Response) -> None:
        if len(upstream.requests) > 1:
            return await scripted(lambda _: [text("Here I am.")])(received, response)
        await response.start(200, {"content-type": "text/event-stream"})
        if begun:
            await response.chunk(START)
        return None  # and the connection is closed, in the middle of the reply

    async with machine(workdir, handler) as (run, upstream):
        result = await learn(run)
    if begun:
        assert failed(result, UNUSABLE).startswith("It broke off: RemoteProtocolError: ")
    else:
        assert result == Result(success=True, output="Here I am.")
    assert len(upstream.requests) == requests


async def test_a_server_out_of_reach_is_told(workdir: Path) -> None:
    provider = AnthropicProvider({"ANTHROPIC_API_KEY": "sk", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"})
    run = KeepingRun(workdir, provider, settings=CORTEX)
    assert failed(await learn(run), "The model failed to answer (HTTP 502).").startswith(
        "127.0.0.1:1 could not be reached"
    )
    assert len(run.asked) == 1 + CORTEX.max_retries


async def test_a_stall_is_the_runs_end(workdir: Path) -> None:
    async with machine(workdir, turns([text("x")])) as (run, _):
        run.ask_fault = ModelStalledError("The model's reply stalled.", "Nothing came.")
        assert failed(await learn(run), "The model's reply stalled.") == "Nothing came."
    assert len(run.asked) == 1


@pytest.mark.parametrize(
    ("reason", "content", "what"),
    [
        ("end_turn", [text(" \n")], "The model gave no answer."),
        ("end_turn", [], "The model gave no answer."),
        ("max_tokens", [text("I was about")], UNUSABLE),
        ("max_tokens", [{**use("Echo", text="x"), "id": "t1"}], UNUSABLE),
        ("refusal", [text("No.")], "The model declined to answer."),
    ],
)
async def test_a_reply_that_is_no_answer(workdir: Path, reason: str, content: list[Block], what: str) -> None:
    body = json.dumps({"content": content, "stop_reason": reason}).encode()
    async with machine(workdir, raw(body, kind="application/json")) as (run, upstream):
        failed(await learn(run), what)
    assert (len(upstream.requests), run.calls) == (1, [])


async def test_too_many_turns_are_a_failure(workdir: Path) -> None:
    async with machine(workdir, lambda _: [use("Echo", text="x")], task=Task(goal="x", max_turns=2)) as (run, upstream):
        failed(await learn(run), "The model did not finish within 2 turns.")
    assert (len(upstream.requests), len(run.calls)) == (2, 1)


@pytest.mark.parametrize("where", ["tool", "stream", "answer", "pause"])
async def test_a_cancelled_run_ends_at_once(workdir: Path, where: str) -> None:
    busy, ended = anyio.Event(), anyio.Event()

    async def hang() -> None:
        busy.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async def act(words: str) -> ToolResult:
        await hang()
        raise AssertionError

    async def handler(received: Received, response: Response) -> None:
        if where == "pause":
            await response.start(529, {})
            await response.end()
            ended.set()
            return busy.set()
        if where == "stream":
            await response.start(200, {"content-type": "text/event-stream"})
            await response.chunk(START)
        if where != "tool":
            await hang()
        return await scripted(turns([use("Echo", text="x")]))(received, response)

    async with machine(workdir, handler, echo=Echo(act)) as (run, _):
        async with anyio.create_task_group() as group:
            group.start_soon(learn, run, LIMIT_S * 10.0)
            await busy.wait()
            group.cancel_scope.cancel()
        await ended.wait()
    kept = json.loads((run.files / "conversation.json").read_bytes())
    assert [message["role"] for message in kept["messages"]] == ["user"]


async def test_where_a_model_stays_overloaded_another_is_asked(workdir: Path) -> None:
    def script(received: Received) -> Any:
        if received.message["model"] == "claude-sonnet-5-5":
            return api_error(529, "overloaded_error", "Overloaded")
        return [[use("Echo", text="x")], [text("Done.")]][received.turn]

    settings = ClaudeSettings(engine="cortex", fallback_model="haiku")
    async with machine(workdir, script, settings=settings) as (run, upstream):
        assert await learn(run) == Result(success=True, output="Done.")
    asked = [received.message["model"] for received in upstream.requests]
    assert asked == ["claude-sonnet-5-5"] * 3 + ["claude-haiku-5-5"] * 2

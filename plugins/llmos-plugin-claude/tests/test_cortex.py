"""The cortex at work, against a scripted Messages server: no SDK, no CLI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import (
    AgentFinished,
    AgentStarted,
    LlmOutput,
    Result,
    Task,
    ToolDenied,
    ToolResult,
    Verdict,
)
from llmos_plugin_claude.learner import Learner
from llmos_plugin_claude.settings import ClaudeSettings
from llmos_testkit import Received, Response, api_error, scripted, text, turns
from llmos_testkit.messages import Block

from .cortex_parts import (
    HELPER,
    WritingEcho,
    delegation,
    learn,
    machine,
    raw,
    said,
    use,
)
from .fakes import Echo


async def test_a_goal_is_solved_with_the_kernels_tools(workdir: Path) -> None:
    script = turns(
        [text("I shall try."), use("Echo", text="one")],
        [use("Echo", text="two"), use("Echo", text="three")],
        [text("All done.")],
    )
    async with machine(workdir, script, task=Task(goal="Echo thrice.", inputs={"n": 3})) as (run, upstream):
        result = await Learner().run(run.task, run)  # type: ignore[arg-type]
    assert result == Result(success=True, output="All done.")
    assert [(call.id, call.tool, call.input, call.agent_id) for call in run.calls] == [
        ("call-1", "Echo", {"text": "one"}, None),
        ("call-2", "Echo", {"text": "two"}, None),
        ("call-3", "Echo", {"text": "three"}, None),
    ]
    assert [(event.text, event.agent_id) for event in run.of(LlmOutput)] == [
        ("I shall try.", None),
        ("All done.", None),
    ]
    first, second, third = upstream.requests
    assert set(first.message) == {"model", "max_tokens", "system", "tools", "messages", "stream"}
    assert (first.message["model"], first.message["stream"]) == ("claude-sonnet-5-5", True)
    assert str(workdir) in first.message["system"]
    [tool] = first.message["tools"]
    assert (tool["name"], tool["input_schema"]["required"]) == ("Echo", ["text"])
    [(role, [prompt])] = said(first)
    assert role == "user"
    assert prompt["text"].startswith("Echo thrice.\n\n## Inputs")
    assert [block["content"] for block in second.results()] == ["echo: one"]
    assert [block["content"] for block in third.results()] == ["echo: two", "echo: three"]
    called = [block["id"] for block in said(third)[3][1]]
    assert [block["tool_use_id"] for block in third.results()] == called
    assert first.headers["x-api-key"] == "sk-real-secret"
    assert first.headers["anthropic-version"] == "2023-06-01"
    assert len({request.id for request in run.asked}) == 3


async def test_a_server_that_does_not_stream_does_too(workdir: Path) -> None:
    def body(content: list[Block], reason: str) -> bytes:
        return json.dumps({"type": "message", "role": "assistant", "content": content, "stop_reason": reason}).encode()

    calls = [{"type": "thinking", "thinking": "hm"}, {**use("Echo", text="x"), "id": "t1"}]
    handler = raw(body(calls, "tool_use"), body([text("Done.")], "end_turn"), kind="application/json; charset=utf-8")
    async with machine(workdir, handler) as (run, upstream):
        assert await learn(run) == Result(success=True, output="Done.")
    assert [call.input for call in run.calls] == [{"text": "x"}]
    assert said(upstream.requests[1])[1][1] == [{**use("Echo", text="x"), "id": "t1"}]


async def test_the_tasks_own_wishes_go_before_the_settings(workdir: Path) -> None:
    task = Task(goal="x", model="my-local-model", system_prompt="Be brief.")
    settings = ClaudeSettings(engine="cortex", model="opus", max_tokens=77)
    async with machine(workdir, turns([text("Done.")]), task=task, settings=settings) as (run, upstream):
        await learn(run)
    [received] = upstream.requests
    assert (received.message["model"], received.message["max_tokens"]) == ("my-local-model", 77)
    assert received.message["system"].startswith("Be brief.")


async def test_the_model_sees_a_failure_as_one(workdir: Path) -> None:
    async def act(words: str) -> ToolResult:
        return ToolResult(output="Exit code 3\nno such thing", is_error=True, exit_code=3)

    async with machine(workdir, turns([use("Echo", text="x")], [text("It failed.")]), echo=Echo(act)) as (
        run,
        upstream,
    ):
        assert (await learn(run)).success
    [block] = upstream.requests[1].results()
    assert (block["is_error"], block["content"]) == (True, "Exit code 3\nno such thing")


@pytest.mark.parametrize(("kind", "at_once"), [(Echo, 2), (WritingEcho, 1)])
async def test_only_calls_that_change_nothing_are_made_side_by_side(
    workdir: Path, kind: type[Echo], at_once: int
) -> None:
    running: set[str] = set()
    most = 0

    async def act(words: str) -> ToolResult:
        nonlocal most
        running.add(words)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
            most = max(most, len(running))
        running.discard(words)
        return ToolResult(output=words)

    script = turns([use("Echo", text="a"), use("Echo", text="b")], [text("Done.")])
    async with machine(workdir, script, echo=kind(act)) as (run, upstream):
        await learn(run)
    assert most == at_once
    assert [block["content"] for block in upstream.requests[1].results()] == ["a", "b"]


@pytest.mark.parametrize("broken", ['{"text": ', "[1]", '{"text": NaN}', '{"a":' * 300 + "1" + "}" * 300])
async def test_an_unusable_input_is_told_to_the_model(workdir: Path, broken: str) -> None:
    events = [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": {**use("Echo"), "id": "t1"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": broken}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ]

    async def handler(received: Received, response: Response) -> None:
        if received.turn:
            return await scripted(lambda _: [text("Then not.")])(received, response)
        await raw("".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())(received, response)
        return None

    async with machine(workdir, handler) as (run, upstream):
        assert (await learn(run)).success
    [block] = upstream.requests[1].results()
    assert block["is_error"] is True
    assert block["content"].startswith("Echo was refused: the input is no JSON object")
    assert run.calls == []
    [denied] = run.of(ToolDenied)
    assert denied.verdict.rule == "invalid-input"


async def test_parallel_agents_are_told_apart(workdir: Path) -> None:
    together = anyio.Event()
    waiting: set[str] = set()

    async def act(words: str) -> ToolResult:
        waiting.add(words)
        if len(waiting) == 2:
            together.set()
        await together.wait()
        return ToolResult(output=words)

    def script(received: Received) -> list[Block]:
        first = received.message["messages"][0]["content"][0]["text"]
        if first.startswith("Do part"):
            return [[text("I help."), use("Echo", text=first)], [text(f"Helped: {first}")]][received.turn]
        both = [delegation("Do part a."), delegation("Do part b.")]
        return [both, [use("Echo", text="main")], [text("Done.")]][received.turn]

    spec = HELPER.model_copy(update={"model": "haiku", "constraints": ("Be quick.",)})
    async with machine(workdir, script, echo=WritingEcho(act), agents={"helper": spec}) as (run, upstream):
        assert await learn(run) == Result(success=True, output="Done.")
    *of_agents, of_main = run.calls
    assert (of_main.input, of_main.agent_id) == ({"text": "main"}, None)
    assert {(call.input["text"], call.agent_id) for call in of_agents} == {
        ("Do part a.", "agent-1"),
        ("Do part b.", "agent-2"),
    }
    assert len({call.id for call in run.calls}) == 3
    assert [(judged.tool, judged.input["prompt"]) for judged in run.judged] == [
        ("Agent", "Do part a."),
        ("Agent", "Do part b."),
    ]
    assert [(event.agent_id, event.name, event.task) for event in run.of(AgentStarted)] == [
        ("agent-1", "helper", "Do part a."),
        ("agent-2", "helper", "Do part b."),
    ]
    assert {event.agent_id for event in run.of(AgentFinished)} == {"agent-1", "agent-2"}
    assert {(event.text, event.agent_id) for event in run.of(LlmOutput)} == {
        *(("I help.", agent) for agent in ("agent-1", "agent-2")),
        ("Helped: Do part a.", "agent-1"),
        ("Helped: Do part b.", "agent-2"),
        ("Done.", None),
    }
    main = [received for received in upstream.requests if received.message["model"] == "claude-sonnet-5-5"]
    subs = [received for received in upstream.requests if received.message["model"] == "claude-haiku-5-5"]
    assert [block["content"] for block in main[1].results()] == ["Helped: Do part a.", "Helped: Do part b."]
    assert [tool["name"] for tool in main[0].message["tools"]] == ["Agent", "Echo"]
    assert "- helper: Helps." in main[0].message["tools"][0]["description"]
    assert [tool["name"] for tool in subs[0].message["tools"]] == ["Echo"]
    assert subs[0].message["system"].startswith("You help.\n- Be quick.\n")
    assert {request.agent_id for request in run.asked} == {None, "agent-1", "agent-2"}


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (delegation("p", "stranger"), "no-agent"),
        (delegation(" "), "invalid-input"),
        (use("Agent", subagent_type=["helper"]), "no-agent"),
    ],
)
async def test_a_wrong_delegation_starts_no_agent(workdir: Path, call: Block, rule: str) -> None:
    async with machine(workdir, turns([call], [text("Then not.")]), agents={"helper": HELPER}) as (run, upstream):
        assert (await learn(run)).success
    assert upstream.requests[1].results()[0]["is_error"] is True
    [denied] = run.of(ToolDenied)
    assert (denied.call.tool, denied.verdict.rule) == ("Agent", rule)
    assert not run.of(AgentStarted)


async def test_a_refused_delegation_starts_no_agent(workdir: Path) -> None:
    script = turns([delegation("p")], [text("Then not.")])
    async with machine(workdir, script, agents={"helper": HELPER}) as (run, upstream):
        run.verdict = Verdict.ask("agents are dear")
        assert (await learn(run)).success
    assert upstream.requests[1].results()[0]["content"] == "Agent needs approval: agents are dear"
    assert [event.call.tool for event in run.of(ToolDenied)] == ["Agent"]
    assert [request.agent_id for request in run.asked] == [None, None]


async def test_an_agent_has_its_own_tools_and_starts_no_agents(workdir: Path) -> None:
    def script(received: Received) -> list[Block]:
        if "agent-1" not in str(received.message["system"]) and received.message["system"].startswith("You help."):
            return [[use("Echo", text="x"), delegation("more")], [text("I could not.")]][received.turn]
        return [[delegation("p")], [text("Done.")]][received.turn]

    spec = HELPER.model_copy(update={"tools": ("Read",)})
    async with machine(workdir, script, agents={"helper": spec}) as (run, upstream):
        assert (await learn(run)).success
    assert [(event.call.agent_id, event.verdict.rule) for event in run.of(ToolDenied)] == [
        ("agent-1", "unknown-tool"),
        ("agent-1", "nested-agent"),
    ]
    assert run.calls == []
    assert "tools" not in upstream.requests[1].message


async def test_a_failing_agent_is_told_to_its_parent(workdir: Path) -> None:
    def script(received: Received) -> Any:
        if received.message["system"].startswith("You help."):
            return api_error(400, "invalid_request_error", "too long")
        return [[delegation("p")], [text("Then alone.")]][received.turn]

    async with machine(workdir, script, agents={"helper": HELPER}) as (run, upstream):
        assert await learn(run) == Result(success=True, output="Then alone.")
    [block] = upstream.requests[2].results()
    assert block["content"] == "The agent helper failed: The model refused a request (HTTP 400). too long"
    assert block["is_error"] is True
    assert len(run.of(AgentFinished)) == 1

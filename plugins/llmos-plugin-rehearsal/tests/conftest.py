"""The other side of the conversation: a strict reader of replies and a small agent that runs the tools."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from llmos_core import LLMOSError, ModelRequest, Run, Task
from llmos_plugin_rehearsal.provider import RehearsalProvider

REMINDER = "<system-reminder>\nToday is a day. Primes are nice.\n</system-reminder>"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Reply:
    """A reply put together again from its stream, or read from its JSON."""

    content: list[dict[str, Any]]
    stop_reason: str
    input_tokens: int
    output_tokens: int
    id: str
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.content if block["type"] == "text")

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [block for block in self.content if block["type"] == "tool_use"]


def read_stream(raw: bytes) -> Reply:
    """Read server-sent events, insisting on the order and the fields the Messages API promises."""
    events = []
    for chunk in raw.decode("ascii").split("\n\n")[:-1]:
        name, data = chunk.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert raw.endswith(b"\n\n")
    start, *middle, delta, stop = events
    assert (start["type"], delta["type"], stop["type"]) == ("message_start", "message_delta", "message_stop")
    head = start["message"]
    assert (head["type"], head["role"], head["content"], head["stop_reason"]) == ("message", "assistant", [], None)
    content: list[dict[str, Any]] = []
    pieces: list[str] = []
    open_block: dict[str, Any] | None = None
    payload = ""
    for event in middle:
        if event["type"] == "content_block_start":
            assert open_block is None
            assert event["index"] == len(content)
            open_block, payload = event["content_block"], ""
            assert open_block.get("text", "") == ""
            assert open_block.get("input", {}) == {}
        elif event["type"] == "content_block_delta":
            assert open_block is not None
            part = event["delta"]
            kind = {"text_delta": "text", "input_json_delta": "partial_json"}[part["type"]]
            assert (kind == "text") == (open_block["type"] == "text")
            pieces.append(part[kind])
            payload += part[kind]
        else:
            assert event["type"] == "content_block_stop"
            assert open_block is not None
            done = {"text": payload} if open_block["type"] == "text" else {"input": json.loads(payload)}
            content.append({**open_block, **done})
            open_block = None
    assert open_block is None
    return Reply(
        content,
        delta["delta"]["stop_reason"],
        head["usage"]["input_tokens"],
        delta["usage"]["output_tokens"],
        head["id"],
        pieces,
    )


def read_json(raw: bytes) -> Reply:
    body = json.loads(raw)
    assert (body["type"], body["role"]) == ("message", "assistant")
    usage = body["usage"]
    return Reply(body["content"], body["stop_reason"], usage["input_tokens"], usage["output_tokens"], body["id"])


@dataclass
class Agent:
    """Plays the part of SDK and CLI: asks the provider, runs the tools, and asks again until it is done."""

    run: Run
    provider: RehearsalProvider = field(default_factory=RehearsalProvider)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    offered: tuple[str, ...] = ("Agent", *(f"mcp__llmos__{tool}" for tool in ("Bash", "Edit", "Glob", "Read", "Write")))
    stream: bool = True

    async def ask(self, messages: list[dict[str, Any]], agent_id: str | None = None) -> Reply:
        body = json.dumps(
            {
                "model": "claude-sonnet-5",
                "stream": self.stream,
                "messages": messages,
                "tools": [{"name": name} for name in self.offered],
            }
        ).encode()
        request = ModelRequest.parse("r", body, agent_id=agent_id)
        async with self.provider.open(request, self.run) as reply:
            assert reply.status == 200
            kind = dict(reply.headers)["content-type"]
            assert kind == ("text/event-stream" if self.stream else "application/json")
            raw = b"".join([chunk async for chunk in reply.chunks])
        answer = (read_stream if self.stream else read_json)(raw)
        assert answer.input_tokens == len(body) // 4
        return answer

    async def work(self, goal: str, agent_id: str | None = None) -> str:
        opening = [{"type": "text", "text": text} for text in (REMINDER, goal, REMINDER)]
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "The working directory is empty."},
            {"role": "user", "content": opening},
            {"role": "system", "content": [{"type": "text", "text": REMINDER}]},
        ]
        for _ in range(20):
            reply = await self.ask(messages, agent_id)
            messages.append({"role": "assistant", "content": reply.content})
            if not reply.calls:
                assert reply.stop_reason == "end_turn"
                return reply.text
            assert reply.stop_reason == "tool_use"
            results = [await self._result(call) for call in reply.calls]
            messages.append({"role": "user", "content": results})
        raise AssertionError("the lesson does not end")

    async def _result(self, call: dict[str, Any]) -> dict[str, Any]:
        tool, given = call["name"].removeprefix("mcp__llmos__"), call["input"]
        self.calls.append((tool, given))
        try:
            if tool == "Agent":
                output = await self.work(given["prompt"], agent_id="sub-1")
            elif tool == "Bash":
                output = await self._bash(given["command"])
            else:
                output = getattr(self, f"_{tool.lower()}")(**given)
        except OSError as error:
            return {"type": "tool_result", "tool_use_id": call["id"], "content": str(error), "is_error": True}
        return {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": output}]}

    def _write(self, file_path: str, content: str) -> str:
        assert Path(file_path).is_relative_to(self.run.workdir)
        Path(file_path).write_text(content, encoding="utf-8")
        return "File written."

    def _edit(self, file_path: str, old_string: str, new_string: str) -> str:
        text = Path(file_path).read_text(encoding="utf-8")
        assert text.count(old_string) == 1
        Path(file_path).write_text(text.replace(old_string, new_string), encoding="utf-8")
        return "File updated."

    def _read(self, file_path: str, limit: int | None = None) -> str:
        lines = Path(file_path).read_text(encoding="utf-8").split("\n")[:limit]
        return "\n".join(f"{number}\t{line}" for number, line in enumerate(lines, start=1))

    def _glob(self, pattern: str, path: str) -> str:
        return "\n".join(sorted(map(str, Path(path).glob(pattern)))) or "No files found"

    async def _bash(self, command: str) -> str:
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = await anyio.run_process(["bash", "-c", command], cwd=self.run.workdir, env=env, stderr=-2, check=False)
        output = done.stdout.decode().rstrip()
        if done.returncode:
            raise OSError(f"Exit code {done.returncode}\n{output}")
        return output or "(Bash completed with no output)"


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Makes a run in a workspace whose path needs quoting in a shell."""

    def make(goal: str = "some goal") -> Run:
        workspace = tmp_path / "my $HOME work"
        workdir = workspace / "projects" / "default" / "output"
        workdir.mkdir(parents=True, exist_ok=True)
        events: list[Any] = []
        fields = {"task": Task(goal=goal), "workdir": workdir, "workspace": workspace, "state": {}}
        run = SimpleNamespace(**fields, events=events, emit=events.append)
        return cast("Run", run)

    return make


@pytest.fixture
def add_lesson(make_run: Callable[..., Run]) -> Callable[[str, str], Path]:
    """Writes a lesson file into the workspace."""

    def add(name: str, text: str) -> Path:
        path = make_run().workspace / "lessons" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return add


@pytest.fixture
def make_agent(make_run: Callable[..., Run]) -> Callable[..., Agent]:
    def make(goal: str = "some goal", **fields: Any) -> Agent:
        return Agent(make_run(goal), **fields)

    return make


@pytest.fixture(scope="session")
def stream_reader() -> Callable[[bytes], Reply]:
    return read_stream


@pytest.fixture(scope="session")
def stopped() -> Callable[[Awaitable[object]], Awaitable[str]]:
    """Why a rehearsal stops that must not claim success."""

    async def reason(work: Awaitable[object]) -> str:
        with pytest.raises(LLMOSError, match="The rehearsal stopped") as caught:
            await work
        return caught.value.why

    return reason

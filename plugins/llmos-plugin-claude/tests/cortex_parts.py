"""A run of the cortex against a scripted Messages server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from llmos_core import (
    AgentSpec,
    Effect,
    ExitCode,
    LLMOSError,
    Result,
)
from llmos_plugin_claude.cortex.loop import solve
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_plugin_claude.settings import ClaudeSettings
from llmos_testkit import ModelServer, Received, Response, scripted, serving
from llmos_testkit.messages import Block, ModelScript

from .fakes import Echo, FakeRun

HELPER = AgentSpec(name="helper", description="Helps.", system_prompt="You help.")
CORTEX = ClaudeSettings(engine="cortex")
LIMIT_S = 60
UNUSABLE = "The model's reply could not be used."


def use(name: str, **input: Any) -> Block:
    return {"type": "tool_use", "name": name, "input": input}


def delegation(prompt: str, agent: str = "helper") -> Block:
    return use("Agent", description="d", prompt=prompt, subagent_type=agent)


class KeepingRun(FakeRun):
    """A run with files of its own."""

    @property
    def files(self) -> Path:
        path = self.files_of(self.id)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def files_of(self, run_id: str) -> Path:
        return self.workdir.parent / "files" / run_id


class WritingEcho(Echo):
    """An Echo that may change the working directory."""

    def effect(self, input: Any) -> Effect:
        return "workspace"


@asynccontextmanager
async def machine(
    workdir: Path, script: ModelScript | Any, **fields: Any
) -> AsyncIterator[tuple[KeepingRun, ModelServer]]:
    """A run whose model is scripted; ``script`` may also be a whole handler."""
    handler = script if asyncio.iscoroutinefunction(script) else scripted(script)
    async with serving(handler) as upstream:
        environ = {"ANTHROPIC_API_KEY": "sk-real-secret", "ANTHROPIC_BASE_URL": upstream.url}
        fields = {"settings": CORTEX, **fields}
        with anyio.fail_after(LIMIT_S):
            yield KeepingRun(workdir, AnthropicProvider(environ), **fields), upstream


async def learn(run: FakeRun, backoff_s: float = 0.0) -> Result:
    try:
        return Result(success=True, output=await solve(run, run.task.goal, backoff_s))  # type: ignore[arg-type]
    except LLMOSError as error:
        return Result.failed(error)


def failed(result: Result, what: str, exit_code: ExitCode = ExitCode.FAILED) -> str:
    """Check a failure; gives its cause."""
    assert not result.success
    assert result.error is not None
    assert (result.error.what, result.error.exit_code) == (what, exit_code)
    return result.error.why


def said(received: Received) -> list[tuple[str, Any]]:
    return [(entry["role"], entry["content"]) for entry in received.message["messages"]]


def raw(*bodies: bytes, kind: str = "text/event-stream", **headers: str) -> Any:
    """A handler that answers with these bytes, the last of them again and again."""
    left = list(bodies)

    async def answer(received: Received, response: Response) -> None:
        await response.start(200, {"content-type": kind, **headers})
        await response.chunk(left.pop(0) if len(left) > 1 else left[0])
        await response.end()

    return answer

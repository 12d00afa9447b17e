"""A run that is stopped from inside a sub-agent ends as a whole, at once: its model is asked nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import (
    AgentSpec,
    BudgetError,
    ExitCode,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolResult,
    Verdict,
    hookimpl,
)
from llmos_plugin_claude import LLMOSSDKClient
from llmos_plugin_claude.learner import Learner
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_plugin_claude.settings import ClaudeSettings
from llmos_testkit import ModelServer, Received, hang, scripted, serving, text, use
from llmos_testkit.messages import Answer, tool_use

from .fakes import FakeRun
from .house import KEY, house

pytestmark = [pytest.mark.cli, pytest.mark.usefixtures("model_key")]

LIMIT_S = 60
KERNEL, NATIVE = use("Echo", text="x"), tool_use("TaskCreate", subject="s", description="d")


class Delegating:
    """The main agent starts two: the model of one says nothing, and the other makes a call once that is so."""

    def __init__(self, call: dict[str, Any]) -> None:
        self._call = call
        self.silent = anyio.Event()

    def __call__(self, received: Received) -> Answer:
        if received.agent_id is None:
            both = [use("Agent", description="d", prompt=f"be {one}", subagent_type=one) for one in ("quiet", "busy")]
            return [both, [text("Done.")]][received.turn]
        if "be quiet" in received.body.decode():
            self.silent.set()
            return hang()
        return [[self._call], [text("Tried.")]][received.turn]


def agents(*tools: str) -> dict[str, AgentSpec]:
    return {name: AgentSpec(name=name, description="d", system_prompt="p", tools=tools) for name in ("quiet", "busy")}


def asked_once_each(upstream: ModelServer) -> bool:
    """Whether the model was asked by the main agent and by each of the two, and by nobody again."""
    asking = [received.agent_id for received in upstream.requests if received.method == "POST"]
    return len(asking) == len(set(asking)) == 3


class Asking:
    """A guard that has a question about what agents do, once the other one waits for its model."""

    def __init__(self, silent: anyio.Event) -> None:
        self._silent = silent

    @hookimpl
    async def llmos_pre_tool_use(self, call: ToolCall) -> Verdict | None:
        if call.agent_id is None:
            return None
        await self._silent.wait()
        return Verdict.ask("sure?")


@pytest.mark.parametrize("tool", ["Write", "TaskCreate"])
async def test_nobody_is_there_to_ask(tmp_path: Path, tool: str) -> None:
    script = Delegating(NATIVE if tool == "TaskCreate" else use("Write", file_path="a.txt", content="x"))
    given: Any = {"claude": {"native_tools": ["TaskCreate"]}, "limits": {"guard_timeout_s": LIMIT_S}}
    async with house(tmp_path, scripted(script), hooks=Asking(script.silent), **given) as (system, upstream):
        with anyio.fail_after(LIMIT_S):
            specs = list(agents(tool).values())
            result = await LLMOSSDKClient(system).execute_learner_mode("Delegate.", available_agents=specs)
    assert result["outcome"].exit_code == ExitCode.APPROVAL
    assert result["error"] == f"{tool} needs approval, and nobody answered."
    assert asked_once_each(upstream)
    assert list(Path(result["outcome"].directory or "").iterdir()) == []


class BrokenRun(FakeRun):
    """A run whose doors break, or refuse, for an agent, once the other one waits for its model."""

    silent: anyio.Event
    poor = False

    async def call(self, call: ToolCall) -> ToolResult:
        await self.silent.wait()
        if self.poor:
            return await super().call(call)
        raise OSError("disk full")

    async def begin(self, call: ToolCall) -> Verdict:
        await self.silent.wait()
        raise OSError("disk full")

    @asynccontextmanager
    async def ask(self, request: ModelRequest) -> AsyncIterator[ModelReply]:
        if b"tool_result" in request.body:
            raise BudgetError("The budget is used up.")
        async with super().ask(request) as reply:
            yield reply


@pytest.mark.parametrize("why", ["kernel tool", "native tool", "budget"])
async def test_a_refusal_that_ends_the_run(workdir: Path, why: str) -> None:
    script = Delegating(NATIVE if why == "native tool" else KERNEL)
    async with serving(scripted(script)) as upstream:
        model = AnthropicProvider({"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream.url})
        settings = ClaudeSettings(native_tools=("TaskCreate",))
        run = BrokenRun(workdir, model, agents=agents("Echo", "TaskCreate"), settings=settings)
        run.silent, run.poor = script.silent, why == "budget"
        with anyio.fail_after(LIMIT_S):
            result = await Learner().run(run.task, run)  # type: ignore[arg-type]
    assert result.error is not None
    if why == "budget":
        assert result.error.exit_code == ExitCode.BUDGET
    else:
        assert (result.error.exit_code, result.error.why) == (ExitCode.FAILED, "OSError: disk full")
    assert asked_once_each(upstream)

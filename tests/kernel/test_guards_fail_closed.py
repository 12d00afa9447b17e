"""A guard that raises, hangs, answers nonsense or is killed denies: whoever calls, whatever the tool is called."""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from llmos_core import LLMOS, Run, ToolCall, Verdict
from tests.kernel.test_tool_door import IMPATIENT, kinds, perform
from tests.parts import Echo, Parts, Script

MCP = "mcp__files__write"


class Named(Echo):
    """A tool of the kernel with the name of one from an MCP server."""

    name = MCP


def raising(call: ToolCall) -> None:
    raise RuntimeError("broken")


async def raising_later(call: ToolCall) -> None:
    await anyio.lowlevel.checkpoint()
    raise RuntimeError("broken")


def cancelled(call: ToolCall) -> None:
    raise asyncio.CancelledError("by nobody")


async def cancelled_later(call: ToolCall) -> None:
    await anyio.lowlevel.checkpoint()
    raise asyncio.CancelledError("by nobody")


def hanging(call: ToolCall) -> None:
    time.sleep(IMPATIENT.settings.limits.guard_timeout_s * 4)


async def hanging_for_ever(call: ToolCall) -> None:
    await anyio.sleep_forever()


def nonsense(call: ToolCall) -> Any:
    return {"decision": "allow"}


def almost(call: ToolCall) -> Any:
    """A verdict that no validation has seen."""
    return Verdict.model_construct(decision="Allow", reason="", rule="")


def killed(call: ToolCall) -> Verdict:
    """The thread is ended from outside, in the middle of judging."""
    me = threading.get_ident()
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(me), ctypes.py_object(SystemExit))
    for _ in range(1000):
        pass
    return Verdict.allow()


FAULTS: list[Callable[..., Any]] = [
    raising,
    raising_later,
    cancelled,
    cancelled_later,
    hanging,
    hanging_for_ever,
    nonsense,
    almost,
    killed,
]


def make(tool: str, agent: str | None) -> ToolCall:
    return ToolCall(id="c1", tool=tool, input={"text": "hello"}, agent_id=agent)


@pytest.mark.parametrize("guard", FAULTS, ids=lambda guard: guard.__name__)
@pytest.mark.parametrize("agent", [None, "agent-1"], ids=["main", "sub-agent"])
@pytest.mark.parametrize("tool", ["Echo", MCP])
async def test_a_call_is_denied(guard: Any, agent: str | None, tool: str) -> None:
    plain, named = Echo(), Named()

    async def act(run: Run) -> str:
        result = await run.call(make(tool, agent))
        return str(result.data["denied"])

    outcome, events = await perform(act, plain, named, llmos_pre_tool_use=guard)
    assert outcome.output == "deny", outcome.error
    assert kinds(events) == ["tool_denied"]
    assert plain.ran == named.ran == []


@pytest.mark.parametrize("guard", FAULTS, ids=lambda guard: guard.__name__)
@pytest.mark.parametrize("agent", [None, "agent-1"], ids=["main", "sub-agent"])
@pytest.mark.parametrize("tool", ["WebSearch", MCP])
async def test_a_native_call_is_not_begun(guard: Any, agent: str | None, tool: str) -> None:
    async def act(run: Run) -> str:
        return (await run.begin(make(tool, agent))).decision

    outcome, events = await perform(act, llmos_pre_tool_use=guard)
    assert outcome.output == "deny"
    assert kinds(events) == ["tool_denied"]


@pytest.mark.parametrize("guard", FAULTS, ids=lambda guard: guard.__name__)
async def test_what_is_judged_or_foreseen_is_denied(guard: Any) -> None:
    async def act(run: Run) -> str:
        judged = await run.judge(make("Agent", None))
        [foreseen] = await run.foresee([make("Echo", None)])
        return f"{judged.decision} {foreseen.decision}"

    outcome, _ = await perform(act, Echo(), llmos_pre_tool_use=guard)
    assert outcome.output == "deny deny"


@pytest.mark.parametrize("guard", FAULTS, ids=lambda guard: guard.__name__)
async def test_no_approver_can_mend_it(guard: Any) -> None:
    """A fault is no question: nobody is asked whether the call may run all the same."""
    asked: list[ToolCall] = []

    async def approve(call: ToolCall) -> bool:
        asked.append(call)
        return True

    async def asking(call: ToolCall) -> Verdict:
        return Verdict.ask("sure?")

    echo = Echo()
    parts = Parts(tools=[echo], strategies=[Script(lambda run: run.call(make("Echo", None)))], llmos_pre_tool_use=guard)
    plugins = {"asker": Parts(llmos_pre_tool_use=asking, llmos_approve=approve), "parts": parts}
    async with LLMOS.in_memory(plugins, IMPATIENT) as system:
        await system.execute("do it")
    assert asked == []
    assert echo.ran == []

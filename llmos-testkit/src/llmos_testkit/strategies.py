"""Ways to do something within a run, through the real doors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from llmos_core import LLMOS, Bid, ModelRequest, Result, Run, Task, ToolCall, ToolResult, Verdict

T = TypeVar("T")

Act = Callable[[Run], Awaitable[Any]]
"""Something to do in a run."""

Called = tuple[str, Mapping[str, Any]]
"""The name of a tool, and the input of a call."""

_GOAL = "Do what the test says"


@dataclass(slots=True)
class Script:
    """A strategy that does what a test says; what ``act`` gives is the result, or the text of a good one.

    Args:
        act: an async function of the run, such as :func:`calls` and :func:`asks` make.
        name: the mode.
        fit, cost_usd: what it bids.
        learns: whether a run of it may become a trace.

    Example::

        script = Script(calls(("Greet", {"name": "Ada"})))
        system = llmos_system(greeter, make_plugin(strategies=[script]))
        outcome = await system.execute("Greet Ada")

    """

    act: Act
    name: str = "SCRIPT"
    fit: float = 1.0
    cost_usd: float = 0.0
    learns: bool = False

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=self.fit, cost_usd=self.cost_usd, reason="scripted")

    async def run(self, task: Task, run: Run) -> Result:
        given = await self.act(run)
        return given if isinstance(given, Result) else Result(success=True, output=str(given))


def calls(*called: Called) -> Act:
    """Makes these tool calls, one after the other; gives the output of the last. A failed call ends it."""

    async def act(run: Run) -> Result:
        result = ToolResult(output="")
        for number, (tool, input) in enumerate(called, 1):
            result = await run.call(ToolCall(id=f"call-{number}", tool=tool, input=dict(input)))
            if result.is_error:
                break
        return Result(success=not result.is_error, output=result.output)

    return act


def asks(*prompts: str, model: str = "claude-sonnet-5-5", max_tokens: int = 1000) -> Act:
    """Asks the model each of these, in conversations of their own; gives the body of the last answer."""

    async def act(run: Run) -> Result:
        status, body = 200, b""
        for number, prompt in enumerate(prompts, 1):
            status, body = await _ask(run, _request(f"ask-{number}", prompt, model, max_tokens))
        return Result(success=status == 200, output=body.decode())

    return act


def _request(id: str, prompt: str, model: str, max_tokens: int) -> ModelRequest:
    messages = [{"role": "user", "content": prompt}]
    body = {"model": model, "max_tokens": max_tokens, "messages": messages, "stream": True}
    return ModelRequest.parse(id, json.dumps(body).encode())


async def _ask(run: Run, request: ModelRequest) -> tuple[int, bytes]:
    async with run.ask(request) as reply:
        return reply.status, b"".join([chunk async for chunk in reply.chunks])


_act: ContextVar[Act] = ContextVar("act")


class AnyAct:
    """The strategy behind :func:`in_run`: it does what the test that executes it says, and never bids for itself."""

    name = "TESTKIT"
    learns = False

    async def bid(self, task: Task, run: Run) -> Bid:
        if task.mode != self.name:
            return Bid(fit=0, reason="for tests only")
        return Bid(fit=1, reason="a test")

    async def run(self, task: Task, run: Run) -> Result:
        return Result(success=True, output=str(await _act.get()(run)))


async def in_run(system: LLMOS, act: Callable[[Run], Awaitable[T]], **fields: Any) -> T:
    """What ``act`` gives in a run of the system, or raises there. ``fields`` are those of a Task.

    The system must come from the fixture ``llmos_system``. Raises AssertionError where the run ended otherwise.

    Example::

        directory = await in_run(system, lambda run: run.start_state())

    """
    ended: list[T] = []
    raised: list[Exception] = []

    async def watched(run: Run) -> str:
        try:
            ended.append(await act(run))
        except Exception as error:
            raised.append(error)
            raise
        return "done"

    token = _act.set(watched)
    try:
        outcome = await system.execute(_GOAL, mode=AnyAct.name, **fields)
    finally:
        _act.reset(token)
    if raised:
        raise raised[0]
    assert ended, f"the run ended before the test had its say: {outcome.error}"
    return ended[0]


async def call_tool(
    system: LLMOS, tool: str, input: Mapping[str, Any] | None = None, *, agent_id: str | None = None, **fields: Any
) -> ToolResult:
    """The result of one tool call through the tool door: guards, journal, tool, observers.

    A denied call comes back as a result with ``is_error``, and ``data["denied"]`` says the verdict.

    Example::

        result = await call_tool(system, "Greet", {"name": "Ada"})
        assert result.output == "Hello, Ada!"

    """
    call = ToolCall(id="call-1", tool=tool, input=dict(input or {}), agent_id=agent_id)
    return await in_run(system, lambda run: run.call(call), **fields)


async def judge(
    system: LLMOS, tool: str, input: Mapping[str, Any] | None = None, *, agent_id: str | None = None, **fields: Any
) -> Verdict:
    """What the guards say of a call, which is not made; the tool need not exist.

    Example::

        verdict = await judge(system, "Bash", {"command": "rm -rf /"})
        assert verdict.decision == "deny"

    """
    call = ToolCall(id="call-1", tool=tool, input=dict(input or {}), agent_id=agent_id)
    return await in_run(system, lambda run: run.judge(call), **fields)


async def ask_model(
    system: LLMOS, prompt: str = "Hello.", *, model: str = "claude-sonnet-5-5", max_tokens: int = 1000, **fields: Any
) -> tuple[int, bytes]:
    """Status and body of the answer to one request through the model door. Raises DeniedError and BudgetError."""
    request = _request("ask-1", prompt, model, max_tokens)
    return await in_run(system, lambda run: _ask(run, request), **fields)

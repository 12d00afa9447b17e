"""Small real parts for tests: tools, strategies and a model that need no disk and no network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict

from llmos_core import (
    Bid,
    Billing,
    Effect,
    ModelReply,
    ModelRequest,
    Result,
    Run,
    Strategy,
    Task,
    Tool,
    ToolCall,
    ToolResult,
    hookimpl,
)

USAGE = {"input_tokens": 1000, "output_tokens": 1}


class EchoInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str


class Echo:
    """A tool that gives its text back; ``hold`` lets a test stop it half way."""

    name = "Echo"
    description = "Gives the text back."
    input_model = EchoInput

    def __init__(self, effect: Effect = "pure", before: Callable[[], Any] | None = None) -> None:
        self._effect = effect
        self._before = before
        self.ran: list[str] = []

    def effect(self, input: EchoInput) -> Effect:
        return self._effect

    async def run(self, input: EchoInput, run: Run) -> ToolResult:
        if self._before:
            self._before()
        self.ran.append(input.text)
        return ToolResult(output=input.text)


class Script:
    """A strategy that makes the given calls and asks."""

    learns = False

    def __init__(self, act: Callable[[Run], Any], *, name: str = "SCRIPT", fit: float = 1.0, cost: float = 0.0) -> None:
        self.name = name
        self._act = act
        self._fit = fit
        self._cost = cost

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=self._fit, cost_usd=self._cost, reason="scripted")

    async def run(self, task: Task, run: Run) -> Result:
        answer = await self._act(run)
        return answer if isinstance(answer, Result) else Result(success=True, output=str(answer))


class Model:
    """A model that answers every request with the given server-sent events."""

    name = "canned"
    fallback = False

    def __init__(self, chunks: Sequence[bytes] = (), *, status: int = 200, billing: Billing = "real") -> None:
        self.chunks = list(chunks) or stream(output_tokens=7)
        self.status = status
        self.billing: Billing = billing
        self.asked: list[ModelRequest] = []
        self.credentials: tuple[str, ...] = ()

    def unready(self) -> str | None:
        return None

    def notices(self) -> Sequence[str]:
        return ()

    def secrets(self) -> Sequence[str]:
        return self.credentials

    def check(self, task: Task, run: Run) -> None:
        return None

    def priced(self, model: str, run: Run) -> bool:
        return True

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        self.asked.append(request)
        yield ModelReply(self.status, self._send())

    async def _send(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            await anyio.lowlevel.checkpoint()
            yield chunk


def stream(output_tokens: int) -> list[bytes]:
    """A reply of the Messages API, cut at awkward places."""
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"type": "message_start", "message": {"id": "m", "usage": USAGE}}),
        ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": '"usage": 9'}}),
        ("message_delta", {"type": "message_delta", "delta": {}, "usage": {"output_tokens": output_tokens}}),
        ("message_stop", {"type": "message_stop"}),
    ]
    data = "".join(f"event: {name}\ndata: {json.dumps(event)}\n\n" for name, event in events).encode()
    return [data[i : i + 37] for i in range(0, len(data), 37)]


def request(model: str = "claude-sonnet-5-5", **fields: Any) -> ModelRequest:
    return ModelRequest.parse("req-1", json.dumps({"model": model, "max_tokens": 100, **fields}).encode())


async def ask(run: Run, wanted: ModelRequest | None = None) -> bytes:
    """The whole reply to one request."""
    async with run.ask(wanted or request()) as reply:
        return b"".join([chunk async for chunk in reply.chunks])


def call(text: str = "hello", tool: str = "Echo", id: str = "c1") -> ToolCall:
    return ToolCall(id=id, tool=tool, input={"text": text})


class Parts:
    """A plugin that contributes what it is given."""

    def __init__(
        self, tools: Sequence[Tool] = (), strategies: Sequence[Strategy] = (), models: Sequence[Any] = (), **hooks: Any
    ) -> None:
        self._tools = tools
        self._strategies = strategies
        self._models = models
        for name, function in hooks.items():
            setattr(self, name, hookimpl(function))

    @hookimpl
    def llmos_tools(self) -> Sequence[Tool]:
        return self._tools

    @hookimpl
    def llmos_strategies(self) -> Sequence[Strategy]:
        return self._strategies

    @hookimpl
    def llmos_models(self) -> Sequence[Any]:
        return self._models

"""A CLI that does nothing is noticed; one that waits for us, or said that it would pause, is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import ModelReply, ModelRequest, ToolCall, ToolResult, Verdict
from llmos_plugin_claude.sdk.watch import Activity

SHORT_S = 0.05
LONGER_S = 0.2

CALL = ToolCall(id="call-1", tool="Echo", input={"text": "x"})
REQUEST = ModelRequest.parse("req-1", json.dumps({"model": "m"}).encode())


class Doors:
    """A run whose doors open when the test says."""

    id = "run-1"

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.open = anyio.Event()
        self.verdict = Verdict.allow()

    async def _pass(self) -> None:
        self.entered.set()
        await self.open.wait()

    async def call(self, call: ToolCall) -> ToolResult:
        await self._pass()
        return ToolResult(output="called")

    async def judge(self, call: ToolCall) -> Verdict:
        await self._pass()
        return self.verdict

    async def begin(self, call: ToolCall) -> Verdict:
        await self._pass()
        return self.verdict

    async def end(self, call_id: str, result: ToolResult) -> None:
        await self._pass()

    @asynccontextmanager
    async def ask(self, request: ModelRequest) -> AsyncIterator[ModelReply]:
        await self._pass()
        yield ModelReply(200, None)  # type: ignore[arg-type]


async def is_silent(activity: Activity, within_s: float) -> bool:
    with anyio.move_on_after(within_s):
        await activity.silence(SHORT_S)
        return True
    return False


async def ask(run: Any) -> ModelReply:
    async with run.ask(REQUEST) as reply:
        return reply  # type: ignore[no-any-return]


PASSAGES = {
    "call": (lambda run: run.call(CALL), ToolResult(output="called")),
    "judge": (lambda run: run.judge(CALL), Verdict.allow()),
    "end": (lambda run: run.end("call-1", ToolResult(output="")), None),
    "ask": (ask, ModelReply(200, None)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("door", PASSAGES)
async def test_while_something_passes_a_door_there_is_no_silence(door: str) -> None:
    passing, expected = PASSAGES[door]
    doors, activity, given = Doors(), Activity(), []
    watched = activity.watched(doors)  # type: ignore[arg-type]
    assert watched.id == "run-1"

    async def go() -> None:
        given.append(await passing(watched))

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await doors.entered.wait()
        assert not await is_silent(activity, LONGER_S)
        doors.open.set()
    assert given == [expected]
    assert await is_silent(activity, 30)


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_call_that_the_cli_executes_is_under_way_until_its_end(allowed: bool) -> None:
    doors, activity = Doors(), Activity()
    doors.open.set()
    doors.verdict = Verdict.allow() if allowed else Verdict.deny("no")
    run = activity.watched(doors)  # type: ignore[arg-type]
    assert await run.begin(CALL) == doors.verdict
    assert await is_silent(activity, LONGER_S if allowed else 30) is not allowed
    await run.end(CALL.id, ToolResult(output=""))
    assert await is_silent(activity, 30)


async def test_a_pause_that_was_announced_is_no_silence() -> None:
    activity = Activity()
    activity.seen(quiet_s=1_000)
    activity.seen()
    assert not await is_silent(activity, LONGER_S)


async def test_a_door_that_breaks_is_passed(workdir: Path) -> None:
    doors, activity = Doors(), Activity()

    async def broken(call: ToolCall) -> ToolResult:
        raise OSError("disk full")

    doors.call = broken  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk full"):
        await activity.watched(doors).call(CALL)  # type: ignore[arg-type]
    assert await is_silent(activity, 30)

"""What a run did, read from its own events: the tool calls that passed the door and ended, in that order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from llmos_core import Effect, Run, ToolCall, ToolOutput, ToolResult, ToolStarted


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call that ran, with its result. ``at`` is when it ended. The kernel did not execute a ``native`` one."""

    call: ToolCall
    effect: Effect
    result: ToolResult
    at: datetime
    native: bool = False


@dataclass(frozen=True, slots=True)
class Capture:
    """The calls of a run in the order in which they ended, sub-agents' among them; refused ones never ran.

    ``began`` is when the first started. ``cut_off`` holds the calls that started and never ended.
    """

    calls: Sequence[Recorded]
    began: datetime | None
    cut_off: Sequence[ToolCall]


async def capture(run: Run) -> Capture:
    """What a run did so far."""
    began: datetime | None = None
    started: dict[str, ToolStarted] = {}
    calls = []
    async for event in run.history():
        if isinstance(event, ToolStarted):
            started[event.call.id] = event
            began = began or event.at
        elif isinstance(event, ToolOutput):
            start = started.pop(event.call_id)
            assert event.at is not None
            calls.append(Recorded(start.call, start.effect, event.result, event.at, start.native))
    return Capture(calls, began, [start.call for start in started.values()])

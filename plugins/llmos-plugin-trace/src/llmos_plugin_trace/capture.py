"""What a run did, read from its own events: the tool calls that passed the door and ended, in that order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from llmos_core import Effect, Run, ToolCall, ToolOutput, ToolResult, ToolStarted


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call that ran, with its result. ``at`` is when it started."""

    call: ToolCall
    effect: Effect
    result: ToolResult
    at: datetime


async def recorded_calls(run: Run) -> Sequence[Recorded]:
    """The run's calls in the order in which they ended, sub-agents' among them; refused ones never ran."""
    started: dict[str, ToolStarted] = {}
    calls = []
    async for event in run.history():
        if isinstance(event, ToolStarted):
            started[event.call.id] = event
        elif isinstance(event, ToolOutput):
            start = started.pop(event.call_id)
            assert start.at is not None
            calls.append(Recorded(start.call, start.effect, event.result, start.at))
    return calls

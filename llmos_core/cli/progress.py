"""Plain progress lines on stderr, one an event that matters to a person."""

from __future__ import annotations

import click
from anyio.streams.memory import MemoryObjectReceiveStream

from llmos_core.cli.output import money, one_line, printable
from llmos_core.events import Event, ModeChosen, Notice, RunFinished, ToolDenied, ToolOutput, ToolStarted, TraceSaved
from llmos_core.records import Outcome, ToolCall

_WIDTH = 100


def title(call: ToolCall) -> str:
    """A tool call in a few words: the tool and its first text argument, of a long path the last name."""
    subject = next((value for value in call.input.values() if isinstance(value, str)), "")
    if subject.startswith("/") and " " not in subject:
        subject = subject.rstrip("/").rpartition("/")[2]
    return one_line(f"{call.tool} {subject}", _WIDTH)


class Progress:
    """Prints the events of the first run it sees; runs within that run are left out."""

    def __init__(self) -> None:
        self._run_id: str | None = None
        self._steps = 0

    async def follow(self, events: MemoryObjectReceiveStream[Event]) -> None:
        """Print until the run has finished."""
        async for event in events:
            self._run_id = self._run_id or event.run_id
            if event.run_id != self._run_id:
                continue
            if isinstance(event, RunFinished):
                return
            line = self._line(event)
            if line:
                click.echo(line, err=True)

    def _line(self, event: Event) -> str | None:
        match event:
            case Notice():
                return printable(event.text)
            case ModeChosen():
                return f"{event.mode}: {printable(event.reason)}"
            case ToolStarted():
                self._steps += 1
                return f"  step {self._steps}: {title(event.call)}"
            case ToolOutput() if event.result.is_error:
                return f"    failed: {one_line(event.result.output, _WIDTH)}"
            case ToolDenied():
                return f"  refused: {title(event.call)}: {one_line(event.verdict.reason, _WIDTH)}"
            case TraceSaved():
                return _saved(event)
        return None


def _saved(event: TraceSaved) -> str:
    if event.followable:
        how = f" by replay in {event.verify_s:.1f} s" if event.verify_s is not None else ""
        return f"Trace {event.trace_id} verified{how}: this goal is now followed for $0."
    return f"Trace {event.trace_id} kept as experience, not followable: {printable(event.reason)}"


def summary(outcome: Outcome) -> str:
    """The last line: mode, cost, time, and what was saved."""
    done = "Done" if outcome.success else "Failed"
    parts = [
        f"{done}: {outcome.mode}",
        money(outcome.cost_usd, outcome.billing),
        f"{outcome.duration_s:.2f} s",
        f"{outcome.steps} step{'' if outcome.steps == 1 else 's'}",
    ]
    if outcome.saved_usd:
        parts.append(f"saved {money(outcome.saved_usd, outcome.saved_billing)}")
    return ", ".join(parts) + f" (run {outcome.run_id})"

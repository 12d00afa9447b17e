"""A run as it is shown: plain lines on stderr, or every event as JSON on stdout."""

from __future__ import annotations

import os
import termios
from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.to_thread
import click
from anyio.streams.memory import MemoryObjectReceiveStream

from llmos_core.cli.output import call_text, one_line, say, spent
from llmos_core.cli.story import Level, Line, Story
from llmos_core.errors import ExitCode
from llmos_core.events import AnyEvent, Event, RunFinished
from llmos_core.kernel.approvals import exact_call
from llmos_core.records import Outcome, ToolCall, Verdict
from llmos_core.run import Run
from llmos_core.system import of_run

_BATCH = 500
_EVENT_WIDTH = 2000


class Progress:
    """Shows the events of the first run it sees, and of the runs within it, as plain lines.

    ``outcome`` is that of the last run which ended: of the first run, once all is over. ``cap`` is what it may spend.
    """

    def __init__(self, level: Level = Level.NORMAL) -> None:
        self.outcome: Outcome | None = None
        self._story = Story(level, transcripts=level >= Level.VERBOSE)
        self._pending: list[Line] = []
        self._writing = anyio.Lock()
        self._always: set[tuple[str, str]] = set()

    @property
    def cap(self) -> float | None:
        return self._story.cap

    async def follow(self, events: MemoryObjectReceiveStream[Event]) -> None:
        """Show the run until it has finished or no more comes."""
        async for event in self._events(events):
            if isinstance(event, RunFinished):
                self.outcome = event.outcome
            self._pending += self._lines(event)
            if not events.statistics().current_buffer_used or len(self._pending) >= _BATCH:
                await self._flush()
        await self._flush()

    async def note(self, text: str) -> None:
        """Show what is no event: a word of the command line itself."""
        self._pending.append(Line(text, "yellow"))
        await self._flush()

    async def ask(self, call: ToolCall, verdict: Verdict, run: Run) -> bool | None:
        """Ask the person at the terminal about a call, while nothing else is shown. None where nobody is there."""
        async with self._writing:
            same = run.id, exact_call(call, run.workdir)
            if same not in self._always:
                await self._show()
                await anyio.to_thread.run_sync(_put, _question(call, verdict))
                await anyio.wait_readable(0)
                typed = os.read(0, 1024)
                if typed.strip().lower() == b"a":
                    self._always.add(same)
                elif typed.strip().lower() not in (b"y", b"yes"):
                    return False if typed else None
        return True

    def _events(self, events: MemoryObjectReceiveStream[Event]) -> AsyncIterator[AnyEvent]:
        return of_run(events)

    def _lines(self, event: AnyEvent) -> Sequence[Line]:
        return self._story.lines(event)

    async def _flush(self) -> None:
        """Write in a thread, since a terminal that was stopped must not stop the run."""
        async with self._writing:
            await self._show()

    async def _show(self) -> None:
        lines, self._pending = self._pending, []
        if lines:
            await anyio.to_thread.run_sync(self._write, lines)

    def _write(self, lines: Sequence[Line]) -> None:
        say("\n".join(styled(line) for line in lines))


class EventLines(Progress):
    """Shows every event, text deltas too, as a line."""

    def _lines(self, event: AnyEvent) -> Sequence[Line]:
        at = f"{event.at:%H:%M:%S.%f}"[:-3] if event.at else "-"
        data = event.model_dump_json(exclude={"run_id", "at", "type", "seq"})
        return [Line(f"{at} {event.run_id} {event.seq} {event.type} {one_line(data, _EVENT_WIDTH)}")]


class JsonLines(Progress):
    """Prints every event of the system as JSON on stdout. Raises BrokenPipeError once nobody reads them."""

    def __init__(self) -> None:
        super().__init__()
        self._first: str | None = None

    async def _events(self, events: MemoryObjectReceiveStream[Event]) -> AsyncIterator[AnyEvent]:
        async for event in events:
            self._first = self._first or event.run_id
            yield event  # type: ignore[misc]  # all events are of the union
            if isinstance(event, RunFinished) and event.run_id == self._first:
                return

    def _lines(self, event: AnyEvent) -> Sequence[Line]:
        return [Line(event.model_dump_json())]

    async def note(self, text: str) -> None:
        await anyio.to_thread.run_sync(say, text)

    def _write(self, lines: Sequence[Line]) -> None:
        click.echo("\n".join(line.text for line in lines))


def _put(question: str) -> None:
    termios.tcflush(0, termios.TCIFLUSH)  # what was typed before the question is no answer to it
    say(question)


def _question(call: ToolCall, verdict: Verdict) -> str:
    why = one_line(f"{verdict.reason} (rule {verdict.rule})" if verdict.rule else verdict.reason, 500)
    return f"{why}\n{call_text(call)}\nRun it? y = yes, a = yes, always in this run, anything else = no; then Enter:"


def styled(line: Line) -> str:
    """The line with its style as a terminal wants it."""
    if not line.style:
        return line.text
    return click.style(line.text, dim=True) if line.style == "dim" else click.style(line.text, fg=line.style)


def summary(outcome: Outcome, cap: float | None = None) -> str:
    """The last line: mode, cost, time, and what was saved."""
    ended = "Interrupted" if outcome.exit_code == ExitCode.INTERRUPTED else "Failed"
    parts = [
        f"{'Done' if outcome.success else ended}: {outcome.mode}",
        spent(outcome.cost_usd, outcome.billing, cap),
        f"{outcome.duration_s:.2f} s",
        f"{outcome.steps} step{'' if outcome.steps == 1 else 's'}",
    ]
    if outcome.saved_usd:
        parts.append(f"saved {spent(outcome.saved_usd, outcome.saved_billing)}")
    return ", ".join(parts) + f" (run {outcome.run_id})"

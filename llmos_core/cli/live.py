"""The live view: lines of what happened and, below them, what is going on. Importing this imports no rich."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from llmos_core.cli.output import one_line, printable, spent
from llmos_core.cli.progress import Progress
from llmos_core.cli.story import Level, Line, Story, title
from llmos_core.events import (
    AgentFinished,
    AgentStarted,
    AnyEvent,
    Event,
    LlmDelta,
    LlmOutput,
    ModeChosen,
    ModelUsed,
    RunFinished,
    ToolOutput,
    ToolStarted,
    UserInput,
)

if TYPE_CHECKING:
    from llmos_core.cli.screen import Screen

_TICK_S = 0.1
_PATIENCE_S = 0.4
"""A run that is over sooner gets its lines only: to import rich would take longer than to follow a trace."""

_TAIL = 2000
_LABEL = 200


@dataclass(frozen=True, slots=True)
class Block:
    """What one agent is doing, each with the time it has taken, and the end of what its model writes."""

    doing: tuple[tuple[str, str], ...]
    text: str = ""
    indent: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """What is going on at one moment."""

    goal: str
    blocks: tuple[Block, ...]
    status: str


@dataclass(slots=True)
class _Speaker:
    """An agent at work. ``running`` holds its steps by call: what to show, since when, and the lines to leave."""

    name: str
    since: float
    task: str = ""
    text: str = ""
    ended: bool = False
    told: bool = False
    running: dict[str, tuple[str, float, list[Line]]] = field(default_factory=dict)

    def hear(self, piece: str) -> None:
        self.text = piece[-_TAIL:] if self.ended else (self.text + piece)[-_TAIL:]
        self.ended = self.told = False

    @property
    def idle(self) -> str:
        return "writing" if self.text and not self.ended else "at work"


class Scene:
    """What is going on in a run and the runs within it, built from their events; bounded like the window."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._speakers: dict[tuple[str, str | None], _Speaker] = {}
        self._began = time.monotonic()
        self._goal = self._mode = ""
        self.stopping = False

    def take(self, event: AnyEvent) -> list[Line]:
        """Mark what the event changes. Gives the lines to leave above: those of a step once it is over."""
        lines = self._story.lines(event)
        match event:
            case UserInput():
                self._goal = self._goal or one_line(event.task.goal, _LABEL)
                self._speaker(event.run_id, None).task = one_line(event.task.goal, _LABEL) if event.parent else ""
            case ModeChosen():
                self._mode = self._mode or event.mode
            case AgentStarted():
                self._speaker(event.run_id, event.agent_id).task = one_line(event.task, _LABEL)
            case AgentFinished():
                lines = [*self._left(event.run_id, event.agent_id), *lines]
            case RunFinished():
                ours = [key for key in self._speakers if key[0] == event.run_id]
                lines = [*(line for key in ours for line in self._left(*key)), *lines]
            case ToolStarted():
                running = self._speaker(event.run_id, event.call.agent_id).running
                *before, step = lines or [Line("")]
                running[event.call.id] = (title(event.call), time.monotonic(), [step] if lines else [])
                lines = before
            case ToolOutput():
                lines = [*self._over(event), *lines]
            case _:
                self._listen(event)
        self._forget_told()
        return lines

    def _listen(self, event: AnyEvent) -> None:
        match event:
            case LlmDelta():
                self._speaker(event.run_id, event.agent_id).hear(event.text)
            case LlmOutput():
                speaker = self._speaker(event.run_id, event.agent_id)
                speaker.ended = speaker.told = True
            case ModelUsed() if (event.run_id, event.agent_id) in self._speakers:
                self._speakers[event.run_id, event.agent_id].ended = True

    def _forget_told(self) -> None:
        """A text that has become a line is not shown as well."""
        for key, speaker in self._speakers.items():
            if speaker.told and not self._story.holds(*key):
                speaker.text, speaker.told = "", False

    def _speaker(self, run_id: str, agent_id: str | None) -> _Speaker:
        key = run_id, agent_id
        if key not in self._speakers:
            self._speakers[key] = _Speaker(self._story.name(run_id, agent_id), time.monotonic())
        return self._speakers[key]

    def _left(self, run_id: str, agent_id: str | None) -> Iterator[Line]:
        """An agent leaves; steps of it that did not end stay told."""
        speaker = self._speakers.pop((run_id, agent_id), None)
        for _, _, lines in speaker.running.values() if speaker else ():
            yield from lines
            yield Line("    cut off", "red")

    def _over(self, event: ToolOutput) -> list[Line]:
        for (run_id, _), speaker in self._speakers.items():
            if run_id == event.run_id and event.call_id in speaker.running:
                return speaker.running.pop(event.call_id)[2]
        return []

    def frame(self) -> Frame:
        """What is going on now."""
        now = time.monotonic()
        blocks = tuple(self._block(speaker, now) for speaker in self._speakers.values())
        money = spent(self._story.cost, self._story.billing, self._story.cap)
        stop = "stopping, Ctrl-C again ends at once" if self.stopping else "Ctrl-C stops"
        parts = (self._mode or "choosing a mode", money, elapsed(now - self._began), stop)
        return Frame(self._goal, blocks, " | ".join(parts))

    def _block(self, speaker: _Speaker, now: float) -> Block:
        steps = [(name, elapsed(now - since)) for name, since, _ in speaker.running.values()]
        text = "" if speaker.running else printable(speaker.text.strip("\n"))
        if not speaker.name:
            return Block(tuple(steps) or ((speaker.idle, ""),), text)
        waiting = f"{speaker.name}: {speaker.task or speaker.idle}", elapsed(now - speaker.since)
        return Block(tuple((f"{speaker.name}, {step}", took) for step, took in steps) or (waiting,), text, indent=2)


class LiveProgress(Progress):
    """Shows a run on a terminal: its lines, and below them what is going on, at most ten times a second."""

    def __init__(self, level: Level = Level.NORMAL, screen: Screen | None = None) -> None:
        super().__init__(level)
        self._story = Story(level, transcripts=True)
        self._scene = Scene(self._story)
        self._screen = screen

    async def follow(self, events: MemoryObjectReceiveStream[Event]) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._paint)
                async for event in self._events(events):
                    if isinstance(event, RunFinished):
                        self.outcome = event.outcome
                    self._pending += self._scene.take(event)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._show()

    async def note(self, text: str) -> None:
        self._scene.stopping = True
        await super().note(text)

    async def _paint(self) -> None:
        await anyio.sleep(_PATIENCE_S)
        if self._screen is None:
            self._screen = await anyio.to_thread.run_sync(_make_screen)
        while True:
            with anyio.CancelScope(shield=True):  # what is taken must be shown
                async with self._writing:
                    lines, self._pending = self._pending, []
                    await anyio.to_thread.run_sync(self._screen.paint, lines, self._scene.frame())
            await anyio.sleep(_TICK_S)

    async def _flush(self) -> None:
        """Lines wait for the next tick, which is near."""

    async def _show(self) -> None:
        """Show the lines and take the region away, until the next tick."""
        if self._screen is not None:
            lines, self._pending = self._pending, []
            await anyio.to_thread.run_sync(self._screen.close, lines)
        await super()._show()


def _make_screen() -> Screen:
    from llmos_core.cli.screen import Screen

    return Screen()


def elapsed(seconds: float) -> str:
    """A time as people read it: ``3 s``, ``1:05``, ``2:00:07``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""The events of a run as lines for people: the same words in a log and on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import Literal

from llmos_core.cli.output import money, one_line, printable, spent
from llmos_core.events import (
    AgentFinished,
    AgentStarted,
    AnyEvent,
    LlmOutput,
    ModeChosen,
    ModelUsed,
    Notice,
    RunFinished,
    ToolApproved,
    ToolDenied,
    ToolOutput,
    ToolStarted,
    TraceSaved,
    UserInput,
)
from llmos_core.records import Billing, Outcome, ToolCall

_WIDTH = 100
_OUTPUT_LINES = 5
_AGENTS = 100
_GOES_ON = (ToolStarted, ToolApproved, ToolDenied, AgentStarted, UserInput)
"""What shows that a text was not the answer."""


class Level(IntEnum):
    """How much is shown."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2
    DEBUG = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line without control characters, and how it looks where there are colours."""

    text: str
    style: Literal["", "red", "yellow", "dim"] = ""


@dataclass(slots=True)
class _Telling:
    """What must be remembered of a run to tell of it: nothing that grows with its length."""

    label: str = ""
    steps: int = 0
    tasks: int = 0
    running: dict[str, int] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)


def title(call: ToolCall) -> str:
    """A tool call in a few words: the tool and its first text argument, of a long path the last name."""
    subject = next((value for value in call.input.values() if isinstance(value, str)), "")
    if subject.startswith("/") and " " not in subject:
        subject = subject.rstrip("/").rpartition("/")[2]
    return one_line(f"{call.tool} {subject}", _WIDTH)


class Story:
    """Tells a run and the runs within it. ``transcripts`` adds what models write, a line each below VERBOSE.

    ``cap`` is what the run may spend, ``cost`` what it has spent, in US dollars.
    """

    def __init__(self, level: Level, *, transcripts: bool) -> None:
        self.cap: float | None = None
        self.cost = 0.0
        self.billing: Billing = "free"
        self._level = level
        self._transcripts = transcripts
        self._runs: dict[str, _Telling] = {}
        self._first: str | None = None
        self._held: list[Line] = []
        self._answer = ""

    def lines(self, event: AnyEvent) -> list[Line]:
        """What there is to say of the next event."""
        self._note(event)
        run = self._runs.setdefault(event.run_id, _Telling())
        lines = self._release() if isinstance(event, _GOES_ON) else []
        lines += [Line(run.label + line.text, line.style) for line in self._tell(event, run)]
        if isinstance(event, RunFinished):
            del self._runs[event.run_id]
        return lines if self._level > Level.QUIET else []

    def name(self, run_id: str, agent_id: str | None) -> str:
        """Who speaks or acts: the name of a sub-agent, none for the main agent of the first run."""
        run = self._runs.setdefault(run_id, _Telling())
        if agent_id is None:
            return run.label.strip()
        return run.label + _agent(run, agent_id)

    def holds(self, run_id: str, agent_id: str | None) -> bool:
        """Whether this agent's last text waits, since it may be the answer."""
        return bool(self._held) and run_id == self._first and agent_id is None

    def _note(self, event: AnyEvent) -> None:
        self._first = self._first or event.run_id
        match event:
            case UserInput(run_id=self._first):
                self.cap = event.task.max_cost_usd
            case UserInput():
                parent = self._runs.setdefault(event.parent or "", _Telling())
                parent.tasks += 1
                above = parent.label.strip("[ ]")
                number = f"{above}.{parent.tasks}" if above else f"{parent.tasks}"
                self._runs[event.run_id] = _Telling(label=f"  [{number}] ")
            case ModelUsed():
                self.cost += event.cost_usd
                self.billing = event.billing if event.billing != "free" else self.billing

    def _tell(self, event: AnyEvent, run: _Telling) -> Iterator[Line]:
        match event:
            case UserInput(parent=str()):
                yield Line(one_line(event.task.goal, _WIDTH))
            case Notice():
                yield Line(printable(event.text), "red" if event.level == "error" else "yellow")
            case ModeChosen():
                yield Line(f"{event.mode}: {printable(event.reason)}")
            case TraceSaved():
                yield Line(_saved(event))
            case RunFinished():
                yield from self._ended(event.outcome)
            case ModelUsed() if self._level >= Level.VERBOSE:
                yield Line(f"    {_of(run, event.agent_id)}{_request(event)}", "dim")
            case LlmOutput():
                yield from self._spoken(event, run)
            case _:
                yield from self._acted(event, run)

    def _acted(self, event: AnyEvent, run: _Telling) -> Iterator[Line]:
        match event:
            case ToolStarted():
                run.steps += 1
                run.running[event.call.id] = run.steps
                yield Line(f"  {_of(run, event.call.agent_id)}step {run.steps}: {title(event.call)}")
            case ToolOutput():
                yield from self._result(event, run)
            case ToolApproved():
                by = "you" if event.by == "caller" else event.by
                yield Line(f"  {_of(run, event.call.agent_id)}approved ({by}): {title(event.call)}")
            case ToolDenied():
                why = one_line(event.verdict.reason, _WIDTH)
                word = "not approved" if event.verdict.decision == "ask" else "refused"
                yield Line(f"  {_of(run, event.call.agent_id)}{word}: {title(event.call)}: {why}", "red")
            case AgentStarted():
                name = _new_name(run, event)
                yield Line(f"  {name} begins: {one_line(event.task, _WIDTH)}" if event.task else f"  {name} begins")
            case AgentFinished():
                yield Line(f"  {run.agents.get(event.agent_id) or one_line(event.name, 40)} is done")

    def _result(self, event: ToolOutput, run: _Telling) -> Iterator[Line]:
        number = run.running.pop(event.call_id, run.steps)
        which = "" if number == run.steps else f"step {number} "
        if event.result.is_error:
            yield Line(f"    {which}failed: {one_line(event.result.output, _WIDTH)}", "red")
        elif which and self._level >= Level.VERBOSE:
            yield Line(f"    {which}gave:", "dim")
        if self._level >= Level.VERBOSE:
            yield from _first_lines(event.result.output)

    def _spoken(self, event: LlmOutput, run: _Telling) -> Iterator[Line]:
        """Model text. The main agent's waits: what turns out to be the result is shown as such, and only once."""
        if not self._transcripts or not event.text.strip():
            return
        who = "model" if event.agent_id is None else _agent(run, event.agent_id)
        if self._level < Level.VERBOSE:
            said = [Line(f"  {who}: {one_line(event.text, _WIDTH)}", "dim")]
        else:
            first, *more = printable(event.text.strip()).split("\n")
            said = [Line(f"  {who}: {first}", "dim"), *(Line(f"    {text}".rstrip(), "dim") for text in more)]
        if event.run_id == self._first and event.agent_id is None:
            yield from self._release()
            self._held, self._answer = said, event.text
        else:
            yield from said

    def _release(self) -> list[Line]:
        held, self._held = self._held, []
        return held

    def _ended(self, outcome: Outcome) -> Iterator[Line]:
        if outcome.run_id != self._first:
            cost = money(outcome.cost_usd, outcome.billing)
            why = one_line(outcome.error.what, _WIDTH) if outcome.error else ""
            ended = f"done: {outcome.mode}, " if outcome.success else f"failed: {why} "
            yield Line(f"{ended}{cost}, {outcome.duration_s:.2f} s", "" if outcome.success else "red")
        elif self._held and self._answer.strip() != outcome.output.strip():
            yield from self._release()


def _of(run: _Telling, agent_id: str | None) -> str:
    """The beginning of a line about a sub-agent."""
    return "" if agent_id is None else f"{_agent(run, agent_id)}, "


def _agent(run: _Telling, agent_id: str) -> str:
    return run.agents.get(agent_id) or f"agent {one_line(agent_id[:8], 8)}"


def _new_name(run: _Telling, event: AgentStarted) -> str:
    """The agent's name; where another of that name was started, with a number."""
    name = shown = one_line(event.name, 40)
    number = 1
    while shown in run.agents.values():
        number += 1
        shown = f"{name} {number}"
    run.agents[event.agent_id] = shown
    for old in list(islice(run.agents, max(0, len(run.agents) - _AGENTS))):
        del run.agents[old]
    return shown


def _first_lines(output: str) -> Iterator[Line]:
    lines = output.rstrip().splitlines()
    for text in lines[:_OUTPUT_LINES]:
        yield Line(f"    | {_cut(text)}".rstrip(), "dim")
    if len(lines) > _OUTPUT_LINES:
        yield Line(f"    | ... {len(lines) - _OUTPUT_LINES} more lines", "dim")


def _cut(text: str) -> str:
    """A line of a tool's output, its blanks kept, cut."""
    line = printable(text.expandtabs(4)[: _WIDTH + 1])
    return line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."


def _request(event: ModelUsed) -> str:
    usage = event.usage
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    cached = usage.cache_read_tokens + written
    tokens = f"{usage.input_tokens:,} tokens in{f' + {cached:,} cached' if cached else ''}, {usage.output_tokens:,} out"
    cost = spent(event.cost_usd, event.billing)
    return f"request to {printable(event.model)}: {tokens}, {cost}{'' if event.complete else ', broken off'}"


def _saved(event: TraceSaved) -> str:
    if event.followable:
        how = f" by replay in {event.verify_s:.1f} s" if event.verify_s is not None else ""
        return f"Trace {event.trace_id} verified{how}: this goal is now followed for $0."
    return f"Trace {event.trace_id} kept as experience, not followable: {printable(event.reason)}"

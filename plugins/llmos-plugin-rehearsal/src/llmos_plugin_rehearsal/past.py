"""What the agents of a past run said and did, in turns, read from its events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from llmos_core import AgentStarted, AnyEvent, LlmOutput, ModelUsed, ToolOutput, ToolStarted, UsageError


@dataclass(slots=True)
class Call:
    """A tool call that ran, and what it gave."""

    tool: str
    input: dict[str, JsonValue]
    output: str = ""
    failed: bool = False


@dataclass(slots=True)
class PastTurn:
    """A text and the calls that followed it; the id of a sub-agent stands for its start."""

    text: str
    calls: list[Call | str] = field(default_factory=list)

    @property
    def may_fail(self) -> bool:
        return any(isinstance(call, Call) and call.failed for call in self.calls)


@dataclass(slots=True)
class Track:
    """What one agent did. ``said`` is its text since its last call."""

    said: list[str] = field(default_factory=list)
    _turns: list[PastTurn] = field(default_factory=list)
    _open: bool = False

    def say(self, text: str) -> None:
        self.said.append(text)
        self._open = False

    def close(self) -> None:
        """What is called from now on belongs to another turn."""
        self._open = False

    def call(self, call: Call | str) -> None:
        if not self._open:
            self._turns.append(PastTurn("\n\n".join(self.said)))
            self.said.clear()
            self._open = True
        self._turns[-1].calls.append(call)

    @property
    def turns(self) -> Iterator[PastTurn]:
        """The turns that made calls. Where a call failed, each has a turn of its own: only that one may fail."""
        for turn in self._turns:
            if not turn.may_fail:
                yield turn
                continue
            for number, call in enumerate(turn.calls):
                yield PastTurn(turn.text if number == 0 else "", [call])


@dataclass(slots=True)
class Told:
    """The main agent's track, those of the sub-agents by id, and the name and the task with which each began."""

    main: Track = field(default_factory=Track)
    agents: dict[str, Track] = field(default_factory=dict)
    begun: dict[str, tuple[str, str]] = field(default_factory=dict)

    def track(self, agent_id: str | None) -> Track:
        """An agent's track; the main agent delegated where a sub-agent is first heard of."""
        if agent_id is None:
            return self.main
        if agent_id not in self.agents:
            self.agents[agent_id] = Track()
            self.main.call(agent_id)
        return self.agents[agent_id]


def read_events(events: Iterable[AnyEvent]) -> Told:
    """Put a run's events in order: a turn holds calls that were under way together.

    Refused calls are left out, for they did nothing. Raises UsageError for what a lesson cannot play.
    """
    told, calls = Told(), dict[str, tuple[Call, str | None]]()
    for event in events:
        match event:
            case AgentStarted():
                told.track(event.agent_id)
                told.begun[event.agent_id] = event.name, event.task
            case ModelUsed():
                told.track(event.agent_id).close()
            case LlmOutput():
                told.track(event.agent_id).say(event.text)
            case ToolStarted(native=True):
                why = f"It used {event.call.tool}, which the Claude Code CLI executes itself."
                raise unfit(why, "A lesson plays tools of the kernel only.")
            case ToolStarted(call=made):
                call = Call(made.tool, made.input)
                calls[made.id] = call, made.agent_id
                told.track(made.agent_id).call(call)
            case ToolOutput(result=result) if event.call_id in calls:
                call, agent_id = calls[event.call_id]
                call.output, call.failed = result.output, result.is_error
                told.track(agent_id).close()
            case _:
                pass
    if told.agents.keys() - told.begun.keys():
        raise unfit("It had sub-agents, and does not tell what they were asked.", "Learn the goal anew (--relearn).")
    return told


def unfit(why: str, fix: str) -> UsageError:
    """What to say of a run that cannot be recorded."""
    return UsageError("The run cannot become a lesson.", why, fix)

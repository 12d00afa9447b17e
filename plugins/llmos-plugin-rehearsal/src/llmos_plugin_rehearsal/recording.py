"""A past run becomes lessons: one that answers its goal, and a hidden one for each sub-agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llmos_core import Outcome, PastRun, UsageError
from llmos_plugin_rehearsal.goals import fold, match_goal
from llmos_plugin_rehearsal.lesson import Lesson, first_fault
from llmos_plugin_rehearsal.past import Call, PastTurn, Told, Track, read_events, unfit
from llmos_plugin_rehearsal.placeholders import strings
from llmos_plugin_rehearsal.templates import Template, escape


@dataclass(frozen=True, slots=True)
class Recording:
    """What a run became: its lesson, then the hidden ones of its sub-agents; and the agents that it needs."""

    lessons: tuple[Lesson, ...]
    agents: tuple[str, ...]

    @property
    def lesson(self) -> Lesson:
        return self.lessons[0]

    @property
    def texts(self) -> Iterator[str]:
        """All texts of the lessons."""
        return (text for lesson in self.lessons for _, text in strings(lesson.model_dump(mode="json"), lesson.name))


def record(past: PastRun, workspace: Path, name: str, pattern: str | None = None) -> Recording:
    """The lessons of a run that succeeded.

    ``pattern`` is the goal pattern to answer; None stands for the run's own goal. Raises UsageError for a run that
    cannot become a lesson, and for a pattern that its goal does not fit.
    """
    outcome = past.outcome
    if outcome is None or not outcome.success or outcome.directory is None:
        raise unfit("It did not succeed.", "A lesson shows how a goal is reached: choose a run that did.")
    told = read_events(past.events())
    if not any(True for _ in told.main.turns):
        raise unfit("It called no tools, so there is nothing to play.", "See the runs with: llmos runs list")
    goal = escape(outcome.goal) if pattern is None else pattern
    values = _values(goal, outcome.goal)
    if values and told.agents:
        raise unfit("It had sub-agents; what they did fits its own goal only.", "Leave out --goal.")
    recorder = _Recorder(told, outcome, _template(told, outcome, workspace, values), f"Recorded from run {past.id}.")
    return Recording(tuple(recorder.lessons(name, goal)), tuple(sorted({agent for agent, _ in told.begun.values()})))


@dataclass(frozen=True, slots=True)
class _Recorder:
    told: Told
    outcome: Outcome
    template: Template
    about: str

    def lessons(self, name: str, goal: str) -> Iterator[Lesson]:
        prompts = self._prompts(goal)
        turns = [*self._turns(self.told.main, prompts), {"text": self._answer()}]
        yield self._lesson(name, goal, self.outcome.goal, turns)
        for number, (agent_id, track) in enumerate(self.told.agents.items(), 1):
            report = "\n\n".join(track.said).strip() or "Done."
            turns = [*self._turns(track, prompts), {"text": self.template.of(report)}]
            pattern, example = self.template.goal_of(prompts[agent_id])
            yield self._lesson(f"{name}-agent-{number}", pattern, example, turns, hidden=True)

    def _lesson(self, name: str, goal: str, example: str, turns: list[dict[str, Any]], **fields: bool) -> Lesson:
        try:
            return Lesson.model_validate(
                {"name": name, "goal": goal, "about": self.about, "example": example, **fields, "turns": turns}
            )
        except ValidationError as error:
            raise unfit(first_fault(error), "Choose another run.") from error

    def _prompts(self, goal: str) -> Mapping[str, str]:
        """What each sub-agent is asked by the lesson: its task, made different from all others."""
        taken, prompts = {fold(goal).lower()}, {}
        for number, agent_id in enumerate(self.told.agents, 1):
            _, task = self.told.begun[agent_id]
            prompt = task if task.strip() else f"Do part {number}."
            while self._goal(prompt) in taken:
                prompt += f" (Part {number}.)"
            taken.add(self._goal(prompt))
            prompts[agent_id] = prompt
        return prompts

    def _goal(self, prompt: str) -> str:
        return fold(self.template.goal_of(prompt)[0]).lower()

    def _turns(self, track: Track, prompts: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        for turn in track.turns:
            text = {"text": self.template.of(turn.text)} if turn.text.strip() else {}
            tools = [self._tool(call, prompts) for call in turn.calls]
            yield {**text, "tools": tools, **({"may_fail": True} if turn.may_fail else {})}

    def _tool(self, call: Call | str, prompts: Mapping[str, str]) -> dict[str, Any]:
        if isinstance(call, Call):
            return {call.tool: self.template.of_value(call.input)}
        agent, prompt = self.template.of(self.told.begun[call][0]), self.template.of(prompts[call])
        return {"Agent": {"description": f"Ask {agent}", "prompt": prompt, "subagent_type": agent}}

    def _answer(self) -> str:
        """The final answer. Where it repeats a whole output, on lines of its own, it says the result instead."""
        answer = self.outcome.output
        calls = [call for turn in self.told.main.turns for call in turn.calls]
        outputs = [(call.output, n) for n, call in enumerate(calls, 1) if isinstance(call, Call) and not call.failed]
        for output, number in sorted(outputs, key=lambda found: (-len(found[0]), -found[1])):
            before, there, after = f"\n{answer}\n".partition(f"\n{output}\n")
            if there and output.strip():
                head, tail = f"{before}\n"[1:], f"\n{after}"[:-1]
                return f"{self.template.of(head)}{{{{results.{number}}}}}{self.template.of(tail)}"
        return self.template.of(answer)


def _values(goal: str, example: str) -> Mapping[str, str]:
    try:
        values = match_goal(goal, example)
    except ValueError as error:
        raise UsageError(f"The goal pattern cannot be used: {error}.") from error
    if values is None:
        fix = "Write the run's goal, with {{name:type}} for what may differ."
        raise UsageError("The goal of the run does not fit the pattern.", f"The goal is: {fold(example)}", fix)
    return values


def _template(told: Told, outcome: Outcome, workspace: Path, values: Mapping[str, str]) -> Template:
    assert outcome.directory is not None
    workdir = Path(outcome.directory)
    # The run may be older than the place where the workspace lies now.
    own = Path("projects", outcome.project, "output")
    then = workdir.parents[len(own.parts) - 1] if workdir.parts[-len(own.parts) :] == own.parts else workspace
    return Template(
        workdir, workspace if then.resolve() == workspace.resolve() else then, values, _texts(told, outcome)
    )


def _texts(told: Told, outcome: Outcome) -> Iterator[str]:
    yield from (outcome.goal, outcome.output)
    yield from (text for begun in told.begun.values() for text in begun)
    for track in (told.main, *told.agents.values()):
        yield from track.said
        for turn in track.turns:
            yield turn.text
            yield from _inputs(turn)


def _inputs(turn: PastTurn) -> Iterator[str]:
    for call in turn.calls:
        if isinstance(call, Call):
            yield from (text for _, text in strings(call.input, ""))

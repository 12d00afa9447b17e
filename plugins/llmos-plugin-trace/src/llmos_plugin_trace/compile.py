"""Recorded calls become a trace: machine paths become slots, the files left behind become checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from llmos_core import (
    Abstraction,
    Outcome,
    ProducedFile,
    Run,
    Step,
    StepResult,
    Trace,
    TreeState,
    UsedPlugin,
    goal_signature,
)
from llmos_plugin_trace.capture import Recorded

_TITLE_CHARS = 60
_CLOCK_SLACK_S = 0.02  # the clock of the file system ticks in steps


def compile_trace(outcome: Outcome, run: Run, calls: Sequence[Recorded], files: Sequence[ProducedFile]) -> Trace:
    """The trace of a run, not yet verified."""
    slots = Abstraction.of({"workdir": run.workdir, "workspace": run.workspace}, _texts(outcome, calls))
    names = _agents(calls)
    steps = tuple(_step(recorded, names.get(recorded.call.agent_id), slots) for recorded in calls)
    answer = slots.abstract(outcome.output)
    assert calls
    return Trace(
        goal_signature=goal_signature(outcome.goal),
        goal_text=outcome.goal,
        inputs=run.task.inputs,
        constraints=run.task.constraints,
        env=tuple(sorted(run.task.env)),
        success_rating=0.0,
        created_at=calls[-1].at,
        estimated_cost_usd=outcome.cost_usd,
        cost_billing=outcome.billing,
        completed=outcome.success,
        estimated_time_secs=outcome.duration_s,
        mode=outcome.mode,
        tools_used=tuple(dict.fromkeys(step.tool for step in steps)),
        plugins=_plugins(run, {step.tool for step in steps}),
        parameters=slots.parameters,
        steps=steps,
        files=tuple(files),
        answer=str(answer),
    )


def _plugins(run: Run, tools: set[str]) -> tuple[UsedPlugin, ...]:
    """The distributions that bring the tools. What a program gave to the system itself has none."""
    used: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(tools & run.tools.keys()):
        if run.tools[name].distribution:
            used[run.tools[name].distribution, run.tools[name].version].append(name)
    return tuple(UsedPlugin(distribution=d, version=v, tools=tuple(names)) for (d, v), names in sorted(used.items()))


def produced_files(start: TreeState, end: TreeState, workdir: Path, since: datetime) -> Sequence[ProducedFile]:
    """The files that a run wrote or removed; also those that it wrote again as they were."""
    before = {path: state.digest for path, state in start.entries.items() if state.kind == "file"}
    after = {path: state.digest for path, state in end.entries.items() if state.kind == "file"}
    first_change_ns = (since.timestamp() - _CLOCK_SLACK_S) * 1e9
    return [
        ProducedFile(path=path, digest=after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path) or (workdir / path).stat().st_ctime_ns >= first_change_ns
    ]


def _texts(outcome: Outcome, calls: Sequence[Recorded]) -> Iterator[str]:
    yield outcome.output
    for recorded in calls:
        yield recorded.call.model_dump_json()
        yield recorded.result.output


def _agents(calls: Sequence[Recorded]) -> dict[str | None, str]:
    """Sub-agents by number: their own ids are random."""
    ids = dict.fromkeys(recorded.call.agent_id for recorded in calls if recorded.call.agent_id is not None)
    return {agent_id: f"agent-{number}" for number, agent_id in enumerate(ids, 1)}


def _step(recorded: Recorded, agent: str | None, slots: Abstraction) -> Step:
    arguments = slots.abstract(recorded.call.input)
    assert isinstance(arguments, dict)
    result = recorded.result
    return Step(
        title=_title(recorded.call.tool, arguments.values()),
        tool=recorded.call.tool,
        agent=agent,
        effect=recorded.effect,
        arguments=arguments,
        result=StepResult(
            output=str(slots.abstract(result.output)), is_error=result.is_error, exit_code=result.exit_code
        ),
    )


def _title(tool: str, arguments: Iterable[JsonValue]) -> str:
    """The tool and its first text argument, on one short line."""
    subject = next((" ".join(value.split()) for value in arguments if isinstance(value, str)), "")
    subject = subject.removeprefix("{{workdir}}/")
    if len(subject) > _TITLE_CHARS:
        subject = subject[: _TITLE_CHARS - 3] + "..."
    return f"{tool} {subject}".rstrip()

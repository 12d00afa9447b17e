"""What a run waits for, read from its journal: that is where it is kept, durably, from the moment it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from llmos_core import (
    LLMOS,
    ExitCode,
    PastRun,
    Record,
    Task,
    ToolApproved,
    ToolDenied,
    ToolStarted,
    UsageError,
    UserInput,
    Verdict,
    canonical_goal,
    exact_call,
)
from llmos_plugin_approvals.store import Asked

_LATEST = 500


class Waiting(Record):
    """A call of a run that needs approval. ``again``: it was approved and made, and the next run will make it again."""

    asked: Asked
    verdict: Verdict
    again: bool = False


def waiting_calls(past: PastRun) -> tuple[Task, list[Waiting]]:
    """What a run was for, and the calls that its next attempt needs approval for.

    Raises UsageError for a run that did not end for want of an approval.
    """
    task: Task | None = None
    asked: list[ToolApproved | ToolDenied] = []
    approved: list[ToolApproved | ToolDenied] = []
    started: set[str] = set()
    for event in past.events():
        match event:
            case UserInput():
                task = task or event.task
            case ToolDenied() if event.verdict.decision == "ask":
                asked.append(event)
            case ToolApproved():
                approved.append(event)
            case ToolStarted():
                started.add(event.call.id)
    outcome = past.outcome
    if task is None or outcome is None or outcome.exit_code != ExitCode.APPROVAL or not asked:
        raise UsageError(
            f"Run {past.id} waits for no approval.",
            "It did not end for want of one.",
            "See what waits: llmos approvals list",
        )
    given = [event for event in approved if event.call.id in started]
    return task, [
        Waiting(asked=_asked(event, past, task), verdict=event.verdict, again=isinstance(event, ToolApproved))
        for event in (*given, *asked)
    ]


def _asked(event: ToolApproved | ToolDenied, past: PastRun, task: Task) -> Asked:
    assert past.outcome is not None
    directory = past.outcome.directory or ""
    return Asked(
        project=task.project,
        directory=directory if task.directory else "",
        goal=canonical_goal(task.goal),
        continues=task.continues,
        run_id=past.id,
        call=event.call,
        exact=exact_call(event.call, Path(directory)),
    )


def waiting_runs(system: LLMOS) -> Iterator[PastRun]:
    """The latest runs that wait for an approval, newest first: those not run again, or gone on with, since."""
    assert system.workspace is not None
    tried, continued = set(), set()
    for journal in islice(system.workspace.journals(), _LATEST):
        past = system.past(journal.stem)
        begun = next((event for event in past.events() if isinstance(event, UserInput)), None)
        if begun is None:
            continue
        task = begun.task
        continued.add(task.continues)
        if past.outcome is None:
            continue
        attempt = task.project, past.directory, canonical_goal(task.goal), task.continues
        if attempt not in tried and past.id not in continued and past.outcome.exit_code == ExitCode.APPROVAL:
            yield past
        tried.add(attempt)


def way_on(past: PastRun, task: Task) -> str | None:
    """The command that takes a run up again, with all it was given; None where only its goal can be run again."""
    return None if task.env else f"llmos resume {past.id}"

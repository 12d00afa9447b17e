"""``llmos resume``: going on with a run that ended before it was done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice, takewhile
from pathlib import Path

import click

from llmos_core import LLMOS, ModelUsed, PastRun, Task, UsageError, UserInput
from llmos_core.commands import carry_out, complete_runs, shown_options, workspace_option

GO_ON = "Go on from where you stopped. What was done is still there; a call that was interrupted may be made again."

_SEARCHED = 1_000
"""How many of the latest runs are looked through for one that went on with a run."""


@click.command()
@click.argument("run", shell_complete=complete_runs)
@workspace_option
@shown_options
def resume(run: str, workspace: str | None, as_json: bool, jsonl: bool, quiet: bool, verbose: bool) -> None:
    """Go on with RUN, which ended before it was done: an id, its last digits, or `last`.

    A run in which a model worked goes on with its conversation: what it has done is not done again. One that followed
    a trace, asked no model, or was a rehearsal is run again from its start. It works in the same directory, wherever
    you are. Approve first what it waited for: llmos approve RUN.

    \b
    Examples:
      llmos resume last
      llmos resume 2f1 --json
    """
    with ExitStack() as held:

        def make() -> Task:
            system = LLMOS(workspace)
            past = system.past(run)
            held.enter_context(_alone(system, past))
            task = task_to_resume(past)
            _check_not_resumed(system, past)
            return task

        carry_out(make, workspace, as_json=as_json, jsonl=jsonl, quiet=quiet, verbose=verbose)


def task_to_resume(past: PastRun) -> Task:
    """What is left to do of a run. Raises UsageError where nothing is, or where it cannot be known."""
    task, worked = None, False
    for event in past.events():
        match event:
            case UserInput():
                task = task or event.task
            case ModelUsed():
                # A scripted model cannot go on with a conversation.
                worked = worked or event.billing != "rehearsal"
    if task is None:
        raise UsageError(f"Run {past.id} cannot be resumed.", "Its journal does not say what it was for.")
    if past.outcome is not None and past.outcome.success:
        raise UsageError(f"Run {past.id} is done.", "Nothing of it is left.", f"See it: llmos runs show {past.id}")
    if task.env:
        names = ", ".join(task.env)
        why = f"Its variables ({names}) are kept nowhere."
        raise UsageError(f"Run {past.id} cannot be resumed.", why, "Run the goal again, with --env.")
    if task.directory:
        task = task.model_copy(update={"directory": _directory(past, task.directory)})
    return task.model_copy(update={"goal": GO_ON, "continues": past.id}) if worked else task


def _directory(past: PastRun, given: str) -> str:
    """Where a run worked: the name given may be relative to a place that is not this one."""
    directory = past.directory or given
    if not Path(directory).is_absolute():
        why = f"It was killed, and where its directory {given} lay was not written down."
        raise UsageError(f"Run {past.id} cannot be resumed.", why, "Run the goal again, with --dir.")
    return directory


def _check_not_resumed(system: LLMOS, past: PastRun) -> None:
    """Raises UsageError for a run that another went on with: the conversation would fork, the work be done twice."""
    assert system.workspace is not None
    later = takewhile(lambda journal: journal.stem > past.id, system.workspace.journals())
    for journal in islice(later, _SEARCHED):
        begun = next((event for event in system.past(journal.stem).events() if isinstance(event, UserInput)), None)
        if begun is not None and begun.task.continues == past.id:
            raise UsageError(
                f"Run {past.id} was gone on with by run {journal.stem}.",
                fix=f"See what became of it: llmos runs show {journal.stem}",
            )


@contextmanager
def _alone(system: LLMOS, past: PastRun) -> Iterator[None]:
    """Only one process at a time goes on with a run. Raises UsageError while another does."""
    from filelock import FileLock, Timeout

    assert system.workspace is not None
    path = system.workspace.state / "resume" / f"{past.id}.lock"
    path.parent.mkdir(exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except Timeout as error:
        raise UsageError(
            f"Run {past.id} is being gone on with.", "Another process is at it.", "Wait for it."
        ) from error

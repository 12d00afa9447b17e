"""``llmos resume``: going on with a run that ended before it was done."""

from __future__ import annotations

import click

from llmos_core import LLMOS, ModelUsed, PastRun, Task, UsageError, UserInput
from llmos_core.commands import carry_out, complete_runs, shown_options, workspace_option

GO_ON = "Go on from where you stopped. What was done is still there; a call that was interrupted may be made again."


@click.command()
@click.argument("run", shell_complete=complete_runs)
@workspace_option
@shown_options
def resume(run: str, workspace: str | None, as_json: bool, jsonl: bool, quiet: bool, verbose: bool) -> None:
    """Go on with RUN, which ended before it was done: an id, its last digits, or `last`.

    A run in which a model worked goes on with its conversation: what it has done is not done again. One that followed
    a trace, or that asked no model, is run again from its start. Approve first what it waited for: llmos approve RUN.

    \b
    Examples:
      llmos resume last
      llmos resume 2f1 --json
    """
    carry_out(
        lambda: task_to_resume(LLMOS(workspace).past(run)),
        workspace,
        as_json=as_json,
        jsonl=jsonl,
        quiet=quiet,
        verbose=verbose,
    )


def task_to_resume(past: PastRun) -> Task:
    """What is left to do of a run. Raises UsageError where nothing is, or where it cannot be known."""
    task, worked = None, False
    for event in past.events():
        match event:
            case UserInput():
                task = task or event.task
            case ModelUsed():
                worked = True
    if task is None:
        raise UsageError(f"Run {past.id} cannot be resumed.", "Its journal does not say what it was for.")
    if past.outcome is not None and past.outcome.success:
        raise UsageError(f"Run {past.id} is done.", "Nothing of it is left.", f"See it: llmos runs show {past.id}")
    if task.env:
        names = ", ".join(task.env)
        why = f"Its variables ({names}) are kept nowhere."
        raise UsageError(f"Run {past.id} cannot be resumed.", why, "Run the goal again, with --env.")
    return task.model_copy(update={"goal": GO_ON, "continues": past.id}) if worked else task

"""``llmos undo``: the working directory of a run as it was before it."""

from __future__ import annotations

import sys
from typing import Any

import click

from llmos_core import LLMOS, LLMOSError, PastRun, UsageError
from llmos_core.commands import complete_runs, json_option, print_json, workspace_option
from llmos_plugin_history.changes import Change, Kind, kept_states, reached_out
from llmos_plugin_history.store import UndoStore
from llmos_plugin_history.texts import described, echo, shown
from llmos_plugin_history.undoing import Plan, carry_out, make_plan

_SHOWN = 50
_WORDS: dict[Kind, str] = {"created": "bring back", "deleted": "remove", "changed": "restore", "mode": "restore"}


@click.command()
@click.argument("run", shell_complete=complete_runs)
@click.option("--back", is_flag=True, help="Take the undo of RUN back; also one that was cut off.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option("--dir", "directory", metavar="D", help="Where the working directory is now, if it was moved.")
@workspace_option
@json_option
def undo(
    run: str, back: bool, yes: bool, dry_run: bool, directory: str | None, workspace: str | None, as_json: bool
) -> None:
    """Bring the working directory back to the state before RUN: an id, its last digits, or `last`.

    Every byte and mode comes back, links and empty directories too. If anything that it would touch changed since the
    run ended, it names that, touches nothing and exits with 1. An undo that was cut off is ended by the same command.
    What the run did elsewhere is not undone, and a trace that it made stays. Without a terminal it needs --yes, and
    exits with 2 otherwise.

    \b
    Examples:
      llmos undo last --dry-run
      llmos undo last
      llmos undo last --back
    """
    system = LLMOS(workspace)
    past = system.past(run)
    store = UndoStore.of(system)
    if not back and _nothing_to_do(store, past, as_json):
        return
    with store.locked():
        plan = make_plan(store, past, directory, back=back)
        if not as_json:
            _show(plan)
        if not dry_run:
            _confirm(plan, yes)
            carry_out(store, past, plan)
    notes = [*_stays(plan), *([] if back else _beyond(past))]
    if as_json:
        print_json(_data(plan, notes, done=not dry_run))
        return
    if dry_run:
        echo("Nothing was changed.", err=True)
    else:
        again = f"Undo it again with: llmos undo {past.id}" if back else f"Take it back: llmos undo --back {past.id}"
        echo(f"Run {past.id} is {'no longer' if back else 'now'} undone. {again}")
    for note in notes:
        echo(note, err=True)


def _nothing_to_do(store: UndoStore, past: PastRun, as_json: bool) -> bool:
    """Whether the run is undone already, or changed nothing; that is told."""
    record = store.load(past.id)
    if record is not None and record.done:
        told = f"Run {past.id} was undone already on {record.at:%Y-%m-%d %H:%M} UTC."
        told += f" Take that back with: llmos undo --back {past.id}"
        state, directory = "undone", record.directory
    elif record is None and _same(past):
        told, state = f"Run {past.id} changed nothing in its working directory.", "unchanged"
        directory = past.directory or ""
    else:
        return False
    if as_json:
        data = {"run_id": past.id, "directory": directory, "state": state, "done": False}
        print_json({**data, "changes": [], "stays": [], "notes": [told]})
    else:
        echo(told)
    return True


def _same(past: PastRun) -> bool:
    before, after = kept_states(past)
    return before == after


def _show(plan: Plan) -> None:
    if plan.resumes:
        echo(f"The undo of run {plan.record.run_id} was cut off.", err=True)
    echo(f"In {shown(plan.record.directory)}:")
    for change in plan.changes[:_SHOWN]:
        echo(f"  {_WORDS[change.kind]:<10}  {shown(change.path)}  ({described(change)})")
    if len(plan.changes) > _SHOWN:
        echo(f"  ... and {len(plan.changes) - _SHOWN:,} more")


def _confirm(plan: Plan, yes: bool) -> None:
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            "The undo was not confirmed; nothing was touched.", "There is no terminal to ask on.", "Add --yes."
        )
    question = "Take the undo back?" if plan.back else "Undo the run?"
    if not click.confirm(question, err=True):
        raise LLMOSError("Nothing was touched.")


def _stays(plan: Plan) -> list[str]:
    return [f"{shown(path)} stays: it holds what is no part of a state." for path in plan.stays]


def _beyond(past: PastRun) -> list[str]:
    """What an undo does not reach."""
    notes = []
    if count := reached_out(past):
        calls = "1 call" if count == 1 else f"{count} calls"
        notes.append(f"{calls} of the run could change things elsewhere: that is not undone.")
    if past.outcome is not None and past.outcome.trace_id is not None:
        trace, fix = past.outcome.trace_id[:8], f"llmos feedback {past.id} bad"
        notes.append(f"Its trace {trace} stays, and may be followed. To stop that: {fix}")
    return notes


def _data(plan: Plan, notes: list[str], *, done: bool) -> dict[str, Any]:
    undone = plan.back != done
    return {
        "run_id": plan.record.run_id,
        "directory": plan.record.directory,
        "state": "undone" if undone else "not undone",
        "done": done,
        "changes": [_change(change) for change in plan.changes],
        "stays": list(plan.stays),
        "notes": notes,
    }


def _change(change: Change) -> dict[str, str]:
    return {"path": change.path, "action": _WORDS[change.kind], "detail": described(change)}

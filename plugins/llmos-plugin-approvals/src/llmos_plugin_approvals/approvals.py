"""``llmos approvals``: what is remembered, and what waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import click

from llmos_core import LLMOS, PastRun, Task, UsageError
from llmos_core.commands import json_option, one_line, print_json, print_table, workspace_option
from llmos_plugin_approvals.approve import call_data
from llmos_plugin_approvals.store import Answer, AnswerStore, main_argument
from llmos_plugin_approvals.waiting import Waiting, waiting_calls, waiting_runs


@click.group()
def approvals() -> None:
    """List and forget answers to calls that needed approval."""


def _asked(system: LLMOS) -> Iterator[tuple[PastRun, Task, Sequence[Waiting]]]:
    """The runs that wait, with their calls; one whose journal names no call waits for nothing that could be given."""
    for past in waiting_runs(system):
        with suppress(UsageError):
            yield past, *waiting_calls(past)


@approvals.command("list")
@workspace_option
@json_option
def list_(workspace: str | None, as_json: bool) -> None:
    """List the answers that are remembered, and the runs that wait for one."""
    system = LLMOS(workspace)
    answers = list(_store(system).answers())
    answered = {(answer.run_id, answer.exact) for answer in answers}
    waiting = [
        (past, task, calls)
        for past, task, calls in _asked(system)
        if not all(one.again or (past.id, one.asked.exact) in answered for one in calls)
    ]
    if as_json:
        runs = [
            {
                "run_id": past.id,
                "goal": task.goal,
                "project": task.project,
                "directory": calls[-1].asked.directory,
                "calls": [call_data(one) for one in calls],
            }
            for past, task, calls in waiting
        ]
        print_json({"remembered": [_data(answer) for answer in answers], "waiting": runs})
        return
    rows = [
        (
            answer.id[:8],
            "approved" if answer.allowed else "denied",
            answer.scope,
            f"{answer.at:%Y-%m-%d %H:%M}",
            answer.project,
            one_line(answer.directory, 200) or "-",
            _what(answer),
        )
        for answer in answers
    ]
    print_table(("id", "answer", "for", "at", "project", "directory", "call"), rows, "Nothing is remembered.")
    for past, task, calls in waiting:
        asked = calls[-1].asked.call
        main = main_argument(asked)
        call = one_line(f"{asked.tool} {main[1] if main else ''}", 80)
        place = f", in {one_line(directory, 200)}" if (directory := calls[-1].asked.directory) else ""
        click.echo(
            f"Waiting: run {past.id} ({one_line(task.goal, 60)}{place}): {call}. Answer: llmos approve {past.id}"
        )


@approvals.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@workspace_option
@json_option
def forget(ids: tuple[str, ...], everything: bool, workspace: str | None, as_json: bool) -> None:
    """Forget answers, by the ids that `list` shows: the next such call is asked about again."""
    if bool(ids) == everything:
        raise UsageError("Name answers by their ids, or give --all.", fix="See them with: llmos approvals list")
    store = _store(LLMOS(workspace))
    answers = list(store.answers())
    chosen = answers if everything else [_named(id, answers) for id in ids]
    forgotten = [answer.id for answer in chosen if store.forget(answer)]
    if as_json:
        print_json({"forgotten": forgotten})
    else:
        click.echo(f"Forgotten: {len(forgotten)}.")


def _store(system: LLMOS) -> AnswerStore:
    assert system.workspace is not None
    return AnswerStore(system.workspace.root)


def _named(id: str, answers: list[Answer]) -> Answer:
    found = [answer for answer in answers if id and answer.id.startswith(id)]
    if len(found) != 1:
        what = f"There is no answer {id}." if not found else f"{id} begins the ids of {len(found)} answers."
        raise UsageError(what, fix="See them with: llmos approvals list")
    return found[0]


def _what(answer: Answer) -> str:
    if answer.pattern is not None:
        return one_line(f"{answer.tool} {answer.pattern}", 200)
    values = " ".join(str(value) for value in answer.input.values())
    return one_line(f"{answer.tool} {values}", 200)


def _data(answer: Answer) -> dict[str, Any]:
    return {"id": answer.id, **answer.model_dump(mode="json", exclude={"exact"})}

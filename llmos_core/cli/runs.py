"""``llmos runs``: what was run, read from the journals."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from llmos_core.cli.options import json_option, workspace_option
from llmos_core.cli.output import money, one_line, print_json, print_table, printable
from llmos_core.errors import UsageError
from llmos_core.host.settings import load_settings
from llmos_core.kernel.journal import read_events, read_outcome
from llmos_core.records import AnyEvent, Outcome
from llmos_core.workspace import Workspace, find_workspace


@click.group()
def runs() -> None:
    """Past runs: list them, read one."""


@runs.command("list")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many.")
@workspace_option
@json_option
def list_(last: int, workspace: str | None, as_json: bool) -> None:
    """List the last runs, newest first."""
    journals = islice(_workspace(workspace).journals(), last)
    entries = [(journal.stem, read_outcome(journal)) for journal in journals]
    outcomes = [(run_id, ended.outcome if ended else None) for run_id, ended in entries]
    if as_json:
        print_json([_data(run_id, outcome) for run_id, outcome in outcomes])
        return
    headers = ("run", "mode", "result", "cost", "time", "goal")
    print_table(headers, [_row(run_id, outcome) for run_id, outcome in outcomes], "Nothing was run yet.")


@runs.command()
@click.argument("run_id")
@workspace_option
@json_option
def show(run_id: str, workspace: str | None, as_json: bool) -> None:
    """Show the events of one run."""
    journal = _workspace(workspace).journal(run_id)
    if not journal.is_file():
        raise UsageError(f"There is no run {run_id}.", fix="See the runs with: llmos runs list")
    if as_json:
        print_json([event.model_dump(mode="json") for event in read_events(journal, damaged=True)])
        return
    for event in read_events(journal, damaged=True):
        at = f"{event.at:%H:%M:%S}" if event.at else "-"
        click.echo(f"{event.seq:4}  {at:<8}  {event.type:<13} {_detail(event)}".rstrip())


def _workspace(given: str | None) -> Workspace:
    file = load_settings()
    return find_workspace(given, file.path, file.settings.workspace)


def _data(run_id: str, outcome: Outcome | None) -> dict[str, Any]:
    """The outcome, or what little is known of a run that did not end."""
    if outcome is None:
        return {"run_id": run_id, "success": None, "error": {"what": "The run did not end."}}
    return outcome.model_dump(mode="json")


def _row(run_id: str, outcome: Outcome | None) -> tuple[str, ...]:
    if outcome is None:
        return (run_id, "-", "unfinished", "-", "-", "")
    result = "done" if outcome.success else "failed"
    cost = f"${outcome.cost_usd:.4f}" if outcome.cost_usd else "$0"
    return (run_id, outcome.mode, result, cost, f"{outcome.duration_s:.2f} s", outcome.goal)


def _detail(event: AnyEvent) -> str:
    match event.type:
        case "user_input":
            return one_line(event.task.goal, 200)
        case "mode_chosen":
            return f"{event.mode}: {printable(event.reason)}"
        case "tool_started":
            return one_line(f"{event.call.tool} {event.call.input}", 200)
        case "tool_output":
            return one_line(f"{'failed' if event.result.is_error else 'ok'}: {event.result.output}", 200)
        case "tool_denied":
            return one_line(f"{event.call.tool}: {event.verdict.reason}", 200)
        case "model_used":
            return f"{event.model}, {money(event.cost_usd, event.billing)}"
        case "llm_output" | "notice":
            return one_line(event.text, 200)
        case "trace_saved":
            return f"{event.trace_id}, {'followable' if event.followable else printable(event.reason)}"
        case "outcome":
            return "done" if event.outcome.success else "failed"

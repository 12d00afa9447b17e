"""``llmos runs``: what was run, read from the journals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from llmos_core.cli.completion import complete_runs
from llmos_core.cli.options import json_option, workspace_at, workspace_option
from llmos_core.cli.output import money, one_line, print_json, print_table, printable

if TYPE_CHECKING:
    from llmos_core.events import AnyEvent
    from llmos_core.records import Outcome


@click.group()
def runs() -> None:
    """Past runs: list them, read one."""


@runs.command("list")
@click.option("--last", type=click.IntRange(1, 1_000_000), default=20, show_default=True, metavar="N", help="How many.")
@workspace_option
@json_option
def list_(last: int, workspace: str | None, as_json: bool) -> None:
    """List the last runs, newest first."""
    from llmos_core.kernel.journal import read_outcome

    journals = islice(workspace_at(workspace).journals(), last)
    entries = [(journal.stem, read_outcome(journal)) for journal in journals]
    outcomes = [(run_id, ended.outcome if ended else None) for run_id, ended in entries]
    if as_json:
        print_json([_data(run_id, outcome) for run_id, outcome in outcomes])
        return
    headers = ("run", "mode", "result", "cost", "time", "goal")
    print_table(headers, [_row(run_id, outcome) for run_id, outcome in outcomes], "Nothing was run yet.")


@runs.command()
@click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
@workspace_option
@json_option
def show(run_id: str, workspace: str | None, as_json: bool) -> None:
    """Show the events of RUN: an id from `llmos runs list`, its last digits, or: last.

    \b
    Examples:
      llmos runs show last
      llmos runs show 79bfdb --json
    """
    from llmos_core.kernel.journal import read_events
    from llmos_core.past import find_journal

    journal = find_journal(workspace_at(workspace), run_id)
    if as_json:
        print_json([event.model_dump(mode="json") for event in read_events(journal, damaged=True)])
        return
    for event in read_events(journal, damaged=True):
        at = f"{event.at:%H:%M:%S}" if event.at else "-"
        click.echo(f"{event.seq:4}  {at:<8}  {event.type:<13} {_detail(event)}".rstrip())


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
    describe = _DETAILS.get(event.type)
    return describe(event) if describe else ""


_DETAILS: Mapping[str, Callable[[Any], str]] = {
    "user_input": lambda e: one_line(e.task.goal, 200),
    "mode_chosen": lambda e: f"{e.mode}: {printable(e.reason)}",
    "tool_started": lambda e: one_line(f"{e.call.tool} {e.call.input}", 200),
    "tool_output": lambda e: one_line(f"{'failed' if e.result.is_error else 'ok'}: {e.result.output}", 200),
    "tool_denied": lambda e: one_line(f"{e.call.tool}: {e.verdict.reason}", 200),
    "model_used": lambda e: f"{e.model}, {money(e.cost_usd, e.billing)}",
    "agent_started": lambda e: one_line(f"{e.name}: {e.task}", 200),
    "agent_finished": lambda e: e.name,
    "llm_output": lambda e: one_line(e.text, 200),
    "notice": lambda e: one_line(e.text, 200),
    "trace_saved": lambda e: f"{e.trace_id}, {'followable' if e.followable else printable(e.reason)}",
    "outcome": lambda e: "done" if e.outcome.success else "failed",
}

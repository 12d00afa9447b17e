"""``llmos plugins check``: load plugins, and say what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from llmos_core.cli.options import json_option, workspace_option
from llmos_core.cli.output import print_json, printable
from llmos_core.cli.plugins.list import Row, check_all, rows
from llmos_core.cli.plugins.names import complete_plugins, one_plugin
from llmos_core.errors import ExitCode
from llmos_core.host.discovery import PLUGIN_GROUP, find

_FAULTY = ("broken", "conflict", "incompatible")


@click.command()
@click.argument("names", nargs=-1, shell_complete=complete_plugins)
@workspace_option
@json_option
def check(names: tuple[str, ...], workspace: str | None, as_json: bool) -> None:
    """Load all plugins, or look at those named, and say what is wrong. Exits with 1 if something must be mended.

    \b
    Examples:
      llmos plugins check
      llmos plugins check hello
    """
    every = rows(check_all(workspace))
    chosen = [one_plugin(name, every) for name in names] or every
    told: list[Row] = [{**row, "notes": list(_notes(row))} for row in chosen]
    if as_json:
        print_json(told)
    else:
        for row in told:
            _print(row)
    if any(row["state"] in _FAULTY for row in told):
        click.get_current_context().exit(ExitCode.FAILED)


@click.command()
@workspace_option
@json_option
def doctor(workspace: str | None, as_json: bool) -> None:
    """Load all plugins, and show only what must be mended, with what to do. Exits with 1 if there is something.

    For the whole installation, the model and the workspace included: llmos doctor
    """
    faulty = [row for row in rows(check_all(workspace)) if row["state"] in _FAULTY]
    if as_json:
        print_json(faulty)
    for row in () if as_json else faulty:
        _print({**row, "notes": ()})
    if faulty:
        click.get_current_context().exit(ExitCode.FAILED)
    if not as_json:
        click.echo("All plugins that are switched on work.")


def _print(row: dict[str, Any]) -> None:
    stage = f" at {row['stage']}" if row["stage"] else ""
    click.echo(f"{row['state'] + stage:<12} {printable(row['id'])} {row['version']}")
    for line in (row["error"], row["fix"] if row["state"] != "ok" else None, *row["notes"]):
        if line:
            click.echo(f"{'':<12} {printable(line)}")


def _notes(row: Row) -> Iterator[str]:
    """What is no fault, and better mended before others install the plugin."""
    found = next((found for found in find(PLUGIN_GROUP) if found.id == row["id"]), None)
    if found is None or row["state"] == "broken":
        return
    if not found.needs:
        yield 'It states no range of llmos-core. In its pyproject.toml: dependencies = ["llmos-core>=0.1,<0.2"]'
    if not row["summary"]:
        yield "Its distribution has no description."
    if row["state"] == "ok" and not row["hooks"]:
        yield "It implements no hook: is the mark @hookimpl missing?"

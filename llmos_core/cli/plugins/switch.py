"""``llmos plugins enable`` and ``disable``: neither imports a plugin."""

from __future__ import annotations

import sys
from typing import Any

import click

from llmos_core.cli.options import workspace_option
from llmos_core.cli.output import printable, say
from llmos_core.cli.plugins.list import Row, look, rows
from llmos_core.cli.plugins.names import complete_plugins, one_plugin
from llmos_core.cli.settings_edit import change_user_settings
from llmos_core.errors import UsageError
from llmos_core.host.discovery import Found
from llmos_core.host.local import LOCAL, approve, withdraw
from llmos_core.host.plugins import ALL
from llmos_core.host.settings_file import disabled_names, read_own, user_file


@click.command()
@click.argument("name", shell_complete=complete_plugins)
@workspace_option
def disable(name: str, workspace: str | None) -> None:
    """Switch a plugin off, in your own settings. Nothing of it is loaded any more; nothing is removed.

    \b
    Example:
      llmos plugins disable hello
    """
    every = rows(look(workspace))
    row = one_plugin(name, every)
    if _names(row) & _mine():
        say(f"{row['name']} is disabled already.")
        return
    if row["distribution"] == LOCAL:
        withdraw(_local(row, workspace))
    else:
        siblings = [other for other in every if other["distribution"] == row["distribution"]]
        _write(_mine() | {row["id"] if len(siblings) > 1 else row["distribution"]})
    say(f"{row['name']} is disabled. To switch it on again: llmos plugins enable {row['name']}")


@click.command()
@click.argument("name", shell_complete=complete_plugins)
@click.option("--yes", is_flag=True, help="Do not ask before a file of the workspace may run.")
@workspace_option
def enable(name: str, yes: bool, workspace: str | None) -> None:
    """Switch a plugin on. A file in the workspace's plugins/ is enabled as it is now; a change asks again.

    \b
    Examples:
      llmos plugins enable hello
      llmos plugins enable my_guard --yes
    """
    row = one_plugin(name, rows(look(workspace)))
    _write(_mine() - _names(row))
    if others := (_names(row) | {ALL}) & disabled_names():
        why = f"LLMOS_NO_PLUGINS or a flag says so: {', '.join(sorted(others))}."
        raise UsageError(f"{row['name']} is still disabled.", why, "Take it out there.")
    if row["distribution"] == LOCAL and row["state"] == "disabled":
        _approve(_local(row, workspace), yes)
    say(f"{row['name']} is enabled. To see whether it loads: llmos plugins check {row['name']}")


def _approve(found: Found, yes: bool) -> None:
    """Enable a file of the workspace, once its user said so."""
    say(f"{printable(found.place)} (SHA-256 {found.digest}) will run with all that you may do.")
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("It was not enabled.", "There is no terminal to ask on.", "Read the file, then: --yes")
    if not yes:
        click.confirm("Enable it?", abort=True, err=True)
    approve(found)


def _local(row: Row, workspace: str | None) -> Found:
    return next(info.found for info in look(workspace) if info.id == row["id"])


def _names(row: Row) -> set[str]:
    return {row["name"], row["distribution"], row["id"]} - {LOCAL}


def _mine() -> set[str]:
    """What the user's own settings disable."""
    listed: Any = read_own().get("disabled_plugins", [])
    return set(listed) if isinstance(listed, list) else set()


def _write(names: set[str]) -> None:
    if names != _mine():
        change_user_settings({("disabled_plugins",): sorted(names) or None})
        say(f"(disabled_plugins in {user_file()})")

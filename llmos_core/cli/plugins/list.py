"""``llmos plugins list`` and ``show``: what is installed. Unless asked to, they import no plugin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from llmos_core.cli.options import json_option, workspace_option, workspace_root
from llmos_core.cli.output import print_json, print_table, printable, say_warning
from llmos_core.cli.plugins.names import complete_plugins, one_plugin
from llmos_core.errors import SettingsError
from llmos_core.host.discovery import COMMAND_GROUP, Found, find
from llmos_core.host.inventory import recall
from llmos_core.host.plugins import KINDS, PluginInfo, survey
from llmos_core.host.settings_file import choices, disabled_names, not_harmless, read_found, refuse

_SIGNS = {"ok": None, "disabled": "bright_black", "incompatible": "yellow", "conflict": "yellow", "broken": "red"}

Row = dict[str, Any]


@click.command("list")
@click.option("--check", is_flag=True, help="Load each plugin anew, and say which are broken and why.")
@workspace_option
@json_option
def list_(check: bool, workspace: str | None, as_json: bool) -> None:
    """List all plugins. What they bring is what the last run saw; --check loads them now.

    \b
    States: ok; disabled; incompatible (needs another version of llmos-core); conflict (something of it is
    contributed twice); broken.
    """
    listed = rows(check_all(workspace) if check else look(workspace))
    try:
        path, found = read_found()
        refuse(not_harmless(found), path)
    except SettingsError as error:
        say_warning(error)  # it counts for nothing here; what loads plugins refuses it
    if as_json:
        print_json(listed)
        return
    headers = ("name", "distribution", "version", "state", "brings, or what is wrong")
    print_table(headers, [_cells(row) for row in listed], "No plugin is installed.")


@click.command()
@click.argument("name", shell_complete=complete_plugins)
@workspace_option
@json_option
def show(name: str, workspace: str | None, as_json: bool) -> None:
    """Show all that is known of a plugin: NAME is its name, its distribution, or distribution/name."""
    row = one_plugin(name, rows(look(workspace)))
    if as_json:
        print_json(row)
        return
    for key, value in row.items():
        text = ", ".join(value) if isinstance(value, list) else value
        if text:
            click.echo(f"{key + ':':<14} {printable(text)}")
    if row["hooks"] is None and row["state"] == "ok":
        click.echo(f"{'':<14} It was not loaded yet: llmos plugins check {row['name']}")


def list_plugins(workspace: str | None) -> list[Row]:
    """What ``llmos plugins list --json`` gives, without importing a plugin."""
    return rows(look(workspace))


def look(workspace: str | None) -> list[PluginInfo]:
    """All plugins, by metadata, settings and what the last boot saw."""
    local = workspace_root(workspace) / "plugins"
    return recall(survey(disabled_names(), choices(), local))


def check_all(workspace: str | None) -> Sequence[PluginInfo]:
    """All plugins, loaded now, with all that they contribute."""
    from llmos_core.host.settings import load_settings
    from llmos_core.system import LLMOS

    return LLMOS(workspace, settings=load_settings()).host.plugins


def rows(infos: Iterable[PluginInfo]) -> list[Row]:
    """What is told of each plugin, and of each distribution that brings commands only."""
    commands: dict[str, list[Found]] = {}
    for found in find(COMMAND_GROUP):
        commands.setdefault(found.distribution, []).append(found)
    told = [_row(info, commands.pop(info.distribution, [])) for info in infos]
    off = disabled_names()
    for offers in commands.values():
        short = offers[0].distribution.removeprefix("llmos-plugin-")
        found = Found(short, "", offers[0].distribution, offers[0].version, fault=offers[0].fault)
        state = "broken" if found.fault else "disabled" if found.names & off or "*" in off else "ok"
        info = PluginInfo(found, state, error=found.fault, hooks=(), contributions={})  # type: ignore[arg-type]
        told.append(_row(info, offers))
    return sorted(told, key=lambda row: (row["distribution"] == "workspace", row["distribution"], row["name"]))


def _row(info: PluginInfo, commands: Sequence[Found]) -> Row:
    brings = info.contributions
    kinds = {kind: None if brings is None else list(brings.get(kind, ())) for kind in KINDS.values()}
    return {
        "name": info.name,
        "id": info.id,
        "distribution": info.distribution,
        "version": info.version,
        "state": info.state,
        "stage": info.stage,
        "error": info.error,
        "fix": info.fix or None,
        "summary": info.found.summary,
        "hooks": None if info.hooks is None else list(info.hooks),
        **kinds,
        "commands": [command.name for command in commands],
    }


def _cells(row: Row) -> tuple[str, ...]:
    brings = "; ".join(
        f"{kind.replace('_', ' ')}: {', '.join(row[kind])}" for kind in (*KINDS.values(), "commands") if row[kind]
    )
    wrong = f"{'at ' + row['stage'] + ': ' if row['stage'] else ''}{row['error']}" if row["error"] else ""
    about = wrong or (row["fix"] if row["state"] == "disabled" and row["fix"] else brings or row["summary"])
    return tuple(str(cell) for cell in (row["name"], row["distribution"], row["version"], row["state"], about))

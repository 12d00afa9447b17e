"""``llmos plugins``: what is installed. Listing imports no plugin."""

from __future__ import annotations

import click

from llmos_core.cli.options import json_option
from llmos_core.cli.output import print_json, print_table
from llmos_core.errors import ExitCode, SettingsError
from llmos_core.host.discovery import PLUGIN_GROUP, find
from llmos_core.host.settings_file import merged, read_settings


@click.group()
def plugins() -> None:
    """Installed plugins.

    \b
    Example:
      llmos plugins list --check
    """


@plugins.command("list")
@click.option("--check", is_flag=True, help="Load each plugin, and say which are broken and why.")
@json_option
def list_(check: bool, as_json: bool) -> None:
    """List the installed plugins. Without --check nothing of them is imported."""
    rows = _checked() if check else _found()
    if as_json:
        print_json(rows)
    else:
        headers = ("name", "distribution", "version", "state", "about")
        print_table(headers, [_cells(row) for row in rows], "No plugin is installed.")
    if any(row["state"] == "broken" for row in rows):
        click.get_current_context().exit(ExitCode.FAILED)


def _found() -> list[dict[str, str | None]]:
    disabled = _disabled()
    return [
        {
            "name": found.name,
            "distribution": found.distribution,
            "version": found.version,
            "state": "disabled" if {found.name, found.distribution} & disabled else "enabled",
            "error": None,
            "summary": found.summary,
        }
        for found in find(PLUGIN_GROUP)
    ]


def _disabled() -> set[str]:
    """The plugins the settings disable, read without the models of pydantic: they would cost half the time."""
    path, found, of_user = read_settings()
    names = merged(of_user, found).get("disabled_plugins", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SettingsError("A setting is wrong: disabled_plugins", f"{path}: it is no list of names.")
    return set(names)


def _checked() -> list[dict[str, str | None]]:
    from llmos_core.host.host import Host
    from llmos_core.host.settings import load_settings

    host = Host(load_settings())
    states = {(info.found.name, info.found.distribution): info for info in host.plugins}
    rows = _found()
    for row in rows:
        info = states[str(row["name"]), str(row["distribution"])]
        error = f"at {info.stage}: {info.error}" if info.error else None
        row.update(state=info.state, error=error)
    return rows


def _cells(row: dict[str, str | None]) -> tuple[str, ...]:
    about = row["error"] or row["summary"]
    return tuple(str(cell) for cell in (row["name"], row["distribution"], row["version"], row["state"], about))

"""``llmos settings``: what is set, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel, ValidationError

from llmos_core.cli.options import json_option, workspace_option
from llmos_core.cli.output import one_line, print_json, print_table, say, say_warning
from llmos_core.errors import SettingsError, UsageError
from llmos_core.host.host import Host
from llmos_core.host.settings import Settings, layers_of, load_settings
from llmos_core.host.settings_check import MASK
from llmos_core.host.settings_sources import Layers, dotted, source_of
from llmos_core.workspace import find_workspace

_WIDEST = 50

Row = dict[str, Any]


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        rows, _ = _rows(None)
    except Exception:  # noqa: BLE001 - the command itself tells what is wrong; a shell that completes must not
        return []
    return [CompletionItem(row["key"]) for row in rows if row["key"].startswith(incomplete)]


@click.group()
def settings() -> None:
    """What is set, and where.

    \b
    Example:
      llmos settings show --all
    """


@settings.command()
@click.argument("key", required=False, shell_complete=_complete)
@click.option("--all", "every", is_flag=True, help="Also what holds its default.")
@workspace_option
@json_option
def show(key: str | None, every: bool, workspace: str | None, as_json: bool) -> None:
    """Show each value and its source: a file, a variable, --set, or the default.

    Without KEY only what somebody set is shown. KEY is a key, a table, or plugins.NAME: all below it is shown. Secrets
    are shown as ***. An llmos.toml is found in the folder you stand in, so it may hold settings of plugins and a few
    limits only: what starts programs or rules the agent belongs in your own file.

    \b
    A flag goes before a variable, that before the nearest llmos.toml, that before your own file:
      llmos --set limits.parallel_runs=2 run "..."
      LLMOS_LIMITS__PARALLEL_RUNS=2 llmos run "..."
      LLMOS_PLUGINS__CLAUDE__MODEL=opus llmos run "..."

    \b
    Examples:
      llmos settings show
      llmos settings show limits
      llmos settings show plugins.claude --json
    """
    try:
        rows, faults = _rows(workspace)
    except SettingsError as error:
        rows, faults = _rows(workspace, nearest=False)  # which raises the same for what is not its fault
        say_warning(error)
        say("What is shown is what you set without that file.")
    for fault in faults:
        say(f"Warning: {fault}")
    chosen = [row for row in rows if not key or row["key"] == key or row["key"].startswith(f"{key}.")]
    if not chosen:
        from difflib import get_close_matches

        keys = [row["key"] for row in rows]
        near = get_close_matches(key or "", {*keys, *(key.rpartition(".")[0] for key in keys)}, 3)
        fix = f"Did you mean: {', '.join(near)}?" if near else "See all: llmos settings show --all"
        raise UsageError(f"There is no setting {key}.", fix=fix)
    if not key and not every:
        chosen = [row for row in chosen if row["source"] != "default"]
    if as_json:
        print_json(chosen)
        return
    cells = [
        (row["key"], one_line(json.dumps(row["value"], ensure_ascii=False), _WIDEST), row["source"]) for row in chosen
    ]
    print_table(("key", "value", "source"), cells, "Nothing is set.")
    if len(chosen) < len(rows) and not key:
        say(f"{len(rows) - len(chosen)} more hold their defaults: llmos settings show --all")


def _rows(workspace: str | None, *, nearest: bool = True) -> tuple[list[Row], Sequence[str]]:
    """All settings, of the core and of the plugins that load, and what is wrong with plugins."""
    file = load_settings(nearest=nearest)
    host = Host(file, local=find_workspace(workspace, file.path, file.settings.workspace).plugins)
    rows = list(_section((), file.settings, layers_of(Settings, (), file)))
    for name, of_plugin in sorted(host.plugin_settings.items()):
        section = ("plugins", name)
        rows += _section(section, of_plugin, layers_of(type(of_plugin), section, file))
    return rows, host.faults


def _section(section: tuple[str, ...], values: BaseModel, layers: Layers) -> Iterator[Row]:
    try:
        defaults = dict(_leaves(_plain(type(values)())))
    except ValidationError:
        defaults = {}  # something must be set
    for path, value in _leaves(_plain(values)):
        if section or path[0] != "plugins":
            united = [source for source, table in layers if path == ("disabled_plugins",) and path[0] in table]
            source = ", ".join(united) or source_of(layers, path) or "default"
            row = {"key": dotted([*section, *path]), "value": value, "source": source}
            yield {**row, "default": defaults[path]} if path in defaults else row


def _plain(settings: BaseModel) -> Any:
    """Settings as plain data, without their secrets."""
    return json.loads(json.dumps(settings.model_dump(by_alias=True), default=_leaf))


def _leaf(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    if hasattr(value, "get_secret_value"):
        return MASK
    return list(value) if isinstance(value, set | frozenset) else to_jsonable_python(value, fallback=str)


def _leaves(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*above, key))
    elif above:
        yield above, value

"""``llmos plugins install`` and ``uninstall``. They import no plugin: what came is checked in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import importlib_metadata
from packaging.utils import canonicalize_name

from llmos_core import ExitCode, PluginError, UsageError, WorkspaceError
from llmos_core.commands import (
    PluginRow,
    complete_plugins,
    json_option,
    list_plugins,
    print_json,
    printable,
    say,
    workspace_option,
    workspace_root,
)
from llmos_plugin_installer.environment import current
from llmos_plugin_installer.record import CORE, FILE_NAME, Entry, read_record, update_record, wanted

verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show all that the installer says.")


@click.command()
@click.argument("requirements", metavar="REQUIREMENT...", nargs=-1, required=True)
@click.option("-e", "--editable", is_flag=True, help="Use folders as they stand, so that changes count at once.")
@click.option("-U", "--upgrade", is_flag=True, help="Take the newest version, also where one is installed.")
@click.option("--any-name", is_flag=True, help='Take names without "llmos" in them.')
@click.option("--dry-run", is_flag=True, help="Say what would be installed, and install nothing.")
@click.option("--no-record", is_flag=True, help=f"Do not record it in the workspace's {FILE_NAME}.")
@verbose_option
@workspace_option
@json_option
def install(
    requirements: Sequence[str],
    editable: bool,
    upgrade: bool,
    any_name: bool,
    dry_run: bool,
    no_record: bool,
    verbose: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Install plugins into the environment that llmos runs in, and record them in the workspace.

    REQUIREMENT is the name of a distribution, as it stands and with a range if you like; a wheel or a folder, with
    a / in it; or NAME @ URL. pip, or uv where there is no pip, installs it, with its own settings (PIP_INDEX_URL,
    UV_INDEX ...). pipx and uv tool are told, so that it stays when they upgrade. llmos-core is never changed.
    Exits with 1 if something that came is no plugin, or cannot be used.

    \b
    Examples:
      llmos plugins install llmos-plugin-hello
      llmos plugins install "llmos-plugin-hello>=1,<2"
      llmos plugins install ./dist/llmos_plugin_hello-1.0-py3-none-any.whl
      llmos plugins install -e ./llmos-plugin-hello
    """
    entries = [wanted(text, editable, any_name) for text in requirements]
    spare_core([entry.name for entry in entries])
    root = None if dry_run or no_record else _opened(workspace)
    environment = current()
    say(f"{'Trying' if dry_run else 'Installing'} {', '.join(requirements)} with {environment.manager} ...")
    before = {(row["id"], row["version"]) for row in list_plugins(workspace)}
    with environment.changing():
        came = environment.install(entries, upgrade=upgrade, dry_run=dry_run, verbose=verbose)
        if not dry_run:
            entries = arrived(entries, came)
        if root:
            keep(root, entries)
    if dry_run:
        _tell([], came, [], as_json, "Would install")
        return
    names = {entry.name for entry in entries}
    fresh = [
        row["id"]
        for row in list_plugins(workspace)
        if (row["id"], row["version"]) not in before or canonicalize_name(row["distribution"]) in names
    ]
    told = checked(fresh, workspace)
    empty = sorted(names - {canonicalize_name(row["distribution"]) for row in told})
    _tell(told, came, empty, as_json, "Installed")
    if empty or any(row["state"] not in ("ok", "disabled") for row in told):
        click.get_current_context().exit(ExitCode.FAILED)


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_plugins)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@verbose_option
@workspace_option
@json_option
def uninstall(names: Sequence[str], yes: bool, verbose: bool, workspace: str | None, as_json: bool) -> None:
    """Remove plugins from the environment that llmos runs in, and from the record.

    NAME is that of a plugin or of its distribution. Nothing of it is imported, so what is broken can be removed too.

    \b
    Example:
      llmos plugins uninstall hello
    """
    root = workspace_root(workspace)
    recorded = read_record(root)
    doomed = list(dict.fromkeys(_distribution(name, recorded, workspace) for name in names))
    spare_core(doomed)
    there = [name for name in doomed if version_of(name)]
    if there and not yes and sys.stdin.isatty():
        click.confirm(f"Remove {', '.join(there)}?", abort=True, err=True)
    environment = current() if there else None
    if environment:
        with environment.changing():
            environment.uninstall(there, verbose=verbose)
    if left := [name for name in there if version_of(name)]:
        why = "It lies outside this environment, where the installer changes nothing."
        raise PluginError(
            f"{', '.join(left)} is still installed.", why, "Remove it with what put it there, or disable it."
        )
    gone = sorted(recorded.keys() & set(doomed))
    if gone:
        update_record(root, {}, gone)
    if as_json:
        print_json({"removed": there, "removed_from_record": gone})
        return
    for name in doomed:
        click.echo(f"Removed {name}." if name in there else f"{name} was not installed; the record is rid of it.")


def arrived(entries: Iterable[Entry], came: Iterable[str]) -> list[Entry]:
    """What of this is installed now: under its own name, which need not be that of its archive, and in its version.

    ``came`` is what the installer named. Raises PluginError for what was llmos-core itself.
    """
    places = _places({canonicalize_name(line.partition(" ")[0]) for line in came})
    found = [replace(entry, name=places.get(entry.source, entry.name)) for entry in entries]
    if any(entry.name == CORE for entry in found):
        fix = f"Install {CORE} again, with what installed it: pip, pipx or uv."
        raise PluginError(f"What was installed is {CORE} itself.", "The name of the archive did not say so.", fix)
    there = [replace(entry, version=version) for entry in found if (version := version_of(entry.name))]
    for entry in found:
        if not version_of(entry.name):
            say(printable(f"Warning: {entry.requirement} is not recorded: no distribution {entry.name} is installed."))
    return there


def _places(came: Collection[str]) -> dict[str, str]:
    """The names of the distributions that were installed from a path, by that path (PEP 610): what came just now goes
    before what came from there earlier.
    """
    places: dict[str, str] = {}
    for distribution in sorted(importlib_metadata.distributions(), key=lambda d: canonicalize_name(d.name) in came):
        url = json.loads(distribution.read_text("direct_url.json") or "{}").get("url", "")
        if url.startswith("file:"):
            places[unquote(urlsplit(url).path)] = canonicalize_name(distribution.name)
    return places


def keep(root: Path, entries: Iterable[Entry]) -> None:
    """Record what arrived. What a path brought stays recorded with that path while asking for its name brings no other
    version.
    """
    recorded = read_record(root)
    now = {entry.name: entry for entry in entries}
    same = {
        name
        for name in recorded.keys() & now.keys()
        if recorded[name].is_path and now[name].source == "index" and recorded[name].version == now[name].version
    }
    update_record(root, {name: entry for name, entry in now.items() if name not in same})


def version_of(name: str) -> str:
    """The installed version of a distribution; empty if there is none."""
    try:
        return importlib_metadata.version(name) or ""
    except importlib_metadata.PackageNotFoundError:
        return ""


def checked(ids: Sequence[str], workspace: str | None) -> list[PluginRow]:
    """Plugins as they are listed after they were loaded, which happens in another process: this one stays whole."""
    if ids:
        place = ["--workspace", workspace] if workspace else []
        command = [sys.executable, "-P", "-m", "llmos_core", *place, "plugins", "check", "--json", *ids]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return [row for row in list_plugins(workspace) if row["id"] in ids]


def _opened(workspace: str | None) -> Path:
    """The workspace, made if need be, with a record that can be read: known before anything is installed."""
    root = workspace_root(workspace)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "Name another place with --workspace DIR, or add --no-record."
        raise WorkspaceError(f"The workspace {root} cannot be made.", f"{error.strerror}.", fix) from error
    read_record(root)
    return root


def spare_core(names: Collection[str]) -> None:
    """Raises UsageError if llmos-core is among the names."""
    if CORE in names:
        fix = "Upgrade or remove it with what installed it: pip, pipx or uv."
        raise UsageError(f"{CORE} is no plugin.", "It is what runs this command, which does not change it.", fix)


def _distribution(name: str, recorded: Collection[str], workspace: str | None) -> str:
    """The distribution that a name stands for, which must be a plugin's, or recorded. Raises UsageError."""
    own = canonicalize_name(name)
    listed = {(row["name"], row["id"]): canonicalize_name(row["distribution"]) for row in list_plugins(workspace)}
    named = {one for known, one in listed.items() if name in known} - {"workspace"}
    if (
        own == CORE
        or own in recorded
        or own in listed.values()
        or (own.startswith("llmos-plugin-") and version_of(own))
    ):
        return own
    if len(named) == 1:
        return named.pop()
    if named:
        why = f"They come from {', '.join(sorted(named))}."
        raise UsageError(f"There is more than one plugin {name}.", why, "Name the distribution.")
    why = "A distribution of that name is installed, but it brings no plugin." if version_of(own) else ""
    raise UsageError(f"No plugin {name} is installed.", why, "See what is, with: llmos plugins list")


def _tell(told: Sequence[PluginRow], came: Sequence[str], empty: Sequence[str], as_json: bool, verb: str) -> None:
    if as_json:
        print_json({verb.lower().replace(" ", "_"): came, "plugins": told, "without_plugin": empty})
    else:
        click.echo(f"{verb}: {', '.join(came)}" if came else "Everything was installed already.")
    for row in told if not as_json else ():
        at = f" at {row['stage']}" if row["stage"] else ""
        wrong = f": {row['error']}\n{row['fix'] or ''}" if row["error"] else ""
        click.echo(printable(f"{row['id']} {row['version']} is {row['state']}{at}{wrong}".rstrip()))
    for name in empty:
        say(f"{name} brings no plugin. To remove it: llmos plugins uninstall {name}")

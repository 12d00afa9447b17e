"""``llmos plugins sync``: installs again what the workspace's record names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from llmos_core import ExitCode, LLMOSError, PluginError
from llmos_core.commands import (
    json_option,
    print_error,
    print_json,
    print_table,
    say,
    workspace_option,
    workspace_root,
)
from llmos_plugin_installer.environment import current
from llmos_plugin_installer.install import arrived, keep, spare_core, verbose_option, version_of
from llmos_plugin_installer.record import FILE_NAME, Entry, read_record, wanted


class _NotAskedError(LLMOSError):
    exit_code = ExitCode.APPROVAL


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be installed, and install nothing.")
@verbose_option
@workspace_option
@json_option
def sync(yes: bool, dry_run: bool, verbose: bool, workspace: str | None, as_json: bool) -> None:
    """Install what the workspace's record names and is missing here, or is here in another version.

    So plugins come back after an upgrade that lost them, and come along with a workspace to another machine. What
    would be installed is shown first, since a workspace may come from anybody: its plugins could do all that you can.
    Exits with 1 if something could not be installed; all the rest is.
    """
    root = workspace_root(workspace)
    entries = [entry for entry in read_record(root).values() if version_of(entry.name) != entry.version]
    plan = [(entry, version_of(entry.name) or "missing", " ".join(entry.pinned().arguments)) for entry in entries]
    if not as_json:
        cells = [(entry.name, state, source) for entry, state, source in plan]
        print_table(("distribution", "here", "to be installed"), cells, f"All of {root / FILE_NAME} is installed.")
    errors: list[LLMOSError | None] = [None for _ in entries]
    if entries and not dry_run:
        _ask(yes, root, [source for _, _, source in plan])
        errors = list(_restored(entries, root, verbose))
    if as_json:
        print_json(
            [
                {
                    "name": entry.name,
                    "version": entry.version,
                    "state": state,
                    "installs": source,
                    "done": not dry_run and error is None,
                    "error": error and str(error),
                }
                for (entry, state, source), error in zip(plan, errors, strict=True)
            ]
        )
    if any(errors):
        click.get_current_context().exit(ExitCode.FAILED)


def _ask(yes: bool, root: Path, sources: Sequence[str]) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        why = f"{root / FILE_NAME} may come from anybody, and there is no terminal to ask on."
        raise _NotAskedError("Nothing was installed.", why, "If you trust it, add --yes.")
    click.confirm(f"Install {', '.join(sources)}?", abort=True, err=True)


def _restored(entries: Sequence[Entry], root: Path, verbose: bool) -> Iterator[LLMOSError | None]:
    """Install one after the other, so that one which fails stops no other; gives the error of each."""
    environment = current()
    with environment.changing():
        for entry in entries:
            say(f"Installing {entry.name} with {environment.manager} ...")
            try:
                if entry.is_path and not Path(entry.source).exists():
                    fix = "Bring it back, or install another and so record that."
                    raise PluginError(f"{entry.name} could not be installed.", f"{entry.source} is not there.", fix)
                spare_core([entry.name, *([wanted(entry.source).name] if entry.is_path else [])])
                came = environment.install([entry.pinned()], verbose=verbose)
                keep(root, arrived([entry], came))
                yield None
            except LLMOSError as error:
                print_error(error)
                yield error

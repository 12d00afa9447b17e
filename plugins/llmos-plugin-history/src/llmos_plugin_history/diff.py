"""``llmos diff``: what a run changed in its working directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import click

from llmos_core import LLMOS, FileState, PastRun
from llmos_core.commands import complete_runs, json_option, print_json, workspace_option
from llmos_plugin_history.changes import Change, below, compare, kept_states, summary, with_renames
from llmos_plugin_history.store import UndoStore
from llmos_plugin_history.texts import TextDiff, coloured, described, echo, shown, text_diff


@click.command()
@click.argument("run", shell_complete=complete_runs)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--stat", is_flag=True, help="Name the changes only; show no texts.")
@workspace_option
@json_option
def diff(run: str, paths: tuple[str, ...], stat: bool, workspace: str | None, as_json: bool) -> None:
    """Show what RUN changed in its working directory: an id, its last digits, or `last`.

    PATH names files or directories below the working directory; without one, all are shown. What a run changed
    elsewhere is not kept, and not shown. Exits with 0, changes or not; with 1 where the states before and after the
    run are not kept.

    \b
    Examples:
      llmos diff last
      llmos diff last --stat
      llmos diff last src README.md
    """
    system = LLMOS(workspace)
    past = system.past(run)
    changes = list(below(with_renames(compare(*kept_states(past))), [_relative(path, past) for path in paths]))
    diffs = [text_diff(change, past.content) for change in changes]
    if as_json:
        print_json([_data(change, text, stat) for change, text in zip(changes, diffs, strict=True)])
        return
    _print(changes, diffs, stat)
    where = " there" if paths else " in its working directory"
    echo(f"{summary(changes)}." if changes else f"Run {past.id} changed nothing{where}.", err=True)
    record = UndoStore.of(system).load(past.id)
    if record is not None:
        echo(
            f"It was undone on {record.at:%Y-%m-%d %H:%M} UTC." if record.done else "Its undo is not finished.",
            err=True,
        )


def _relative(path: str, past: PastRun) -> str:
    """A path as states name it: relative to the working directory."""
    place = PurePosixPath(path)
    directory = past.directory
    if directory and place.is_absolute() and place.is_relative_to(directory):
        place = place.relative_to(directory)
    return str(place)


def _print(changes: Sequence[Change], diffs: Sequence[TextDiff | None], stat: bool) -> None:
    for change, text in zip(changes, diffs, strict=True):
        name = shown(change.path) if change.source is None else f"{shown(change.source)} -> {shown(change.path)}"
        details = [described(change), *_counted(text)]
        told = ", ".join(detail for detail in details if detail)
        echo(click.style(f"{change.kind:<8} {name}", bold=True) + (f" ({told})" if told else ""))
        if text is not None and not stat:
            for line in coloured(text.lines):
                echo(line)


def _counted(text: TextDiff | None) -> list[str]:
    if text is None:
        return []
    return [text.unshown] if text.unshown else [f"+{text.added} -{text.removed}"]


def _data(change: Change, text: TextDiff | None, stat: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "path": change.path,
        "change": change.kind,
        "source": change.source,
        "before": _state(change.before),
        "after": _state(change.after),
        "added": text.added if text and not text.unshown else None,
        "removed": text.removed if text and not text.unshown else None,
        "unshown": text.unshown or None if text else None,
    }
    if not stat:
        data["diff"] = "".join(f"{line}\n" for line in text.lines) if text and text.lines else None
    return data


def _state(state: FileState | None) -> dict[str, Any] | None:
    return None if state is None else {**state.model_dump(), "mode": f"{state.mode:04o}"}

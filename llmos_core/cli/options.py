"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

import click

from llmos_core.errors import UsageError
from llmos_core.goal import MAX_GOAL_CHARS, too_long

WORKSPACE_HELP = (
    "Where memories and projects lie; default: LLMOS_WORKSPACE, ./workspace if it is there, "
    "else the user's data directory."
)

F = TypeVar("F", bound=Callable[..., Any])

_MAX_BYTES = 4 * MAX_GOAL_CHARS


def workspace_option(command: F) -> F:
    """``--workspace``, also behind the command; the nearer one wins."""
    return click.option("--workspace", metavar="DIR", help=WORKSPACE_HELP, callback=_nearer)(command)


def _nearer(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return value or (ctx.find_root().obj or {}).get("workspace")


def json_option(command: F) -> F:
    """``--json``: data for programs on stdout instead of text for people."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(command)


_TASK: tuple[Callable[[Any], Any], ...] = (
    click.option("--model", metavar="M", help="Model alias or id for the Learner."),
    click.option("--dir", "directory", metavar="D", help="Working directory; default: the project's output/."),
    click.option("--project", metavar="P", default="default", show_default=True, help="Project to work in."),
    click.option("--mode", metavar="MODE", default="auto", show_default=True, help="auto, follower, learner ..."),
    click.option("--file", "goal_file", type=click.File("rb"), metavar="F", help="Read the goal from a file."),
    click.argument("goal", required=False),
)


def task_options(command: F) -> F:
    """The goal and where it runs."""
    for option in _TASK:
        command = option(command)
    return command


def read_goal(goal: str | None, goal_file: Any) -> str:
    """The goal from the argument, from standard input (``-``) or from ``--file``. Raises UsageError."""
    if (goal is None) == (goal_file is None):
        raise UsageError(
            "Give one goal." if goal is None else "Give the goal once: as argument or with --file.",
            fix='For example: llmos run "Count the files in data by type and write the table to types.md"',
        )
    if goal_file is None and goal != "-":
        data = os.fsencode(goal or "")  # what was typed, whatever the locale made of it
    elif goal_file is None and sys.stdin is None:
        raise UsageError("Standard input is closed.", fix="Give the goal as argument, or with --file.")
    else:
        source: BinaryIO = goal_file or sys.stdin.buffer
        data = source.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise too_long(f"more than {MAX_GOAL_CHARS:,}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError("The goal is not valid UTF-8.", str(error), "Write the goal as UTF-8 text.") from error

"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from llmos_core.cli.completion import (
    complete_directories,
    complete_modes,
    complete_permission_modes,
    complete_projects,
    complete_runs,
)
from llmos_core.errors import UsageError
from llmos_core.goal import MAX_GOAL_CHARS, too_long

if TYPE_CHECKING:
    from pathlib import Path

    from llmos_core.records import Task
    from llmos_core.workspace import Workspace

WORKSPACE_HELP = (
    "Where memories and projects lie; default: LLMOS_WORKSPACE, ./workspace if it is there, "
    "else the user's data directory."
)

F = TypeVar("F", bound=Callable[..., Any])

_MAX_BYTES = 4 * MAX_GOAL_CHARS


def workspace_option(command: F) -> F:
    """``--workspace``, also behind the command; the nearer one wins."""
    return click.option(
        "--workspace", metavar="DIR", help=WORKSPACE_HELP, callback=_nearer, shell_complete=complete_directories
    )(command)


def _nearer(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return value or (ctx.find_root().obj or {}).get("workspace")


def workspace_at(given: str | None) -> Workspace:
    """The workspace to read in, which need not be there yet. Raises SettingsError."""
    from llmos_core.host.settings import load_settings
    from llmos_core.workspace import find_workspace

    file = load_settings()
    return find_workspace(given, file.path, file.settings.workspace)


def workspace_root(given: str | None) -> Path:
    """Where the workspace is, found without the models of the settings, which some commands must not need."""
    from llmos_core import files
    from llmos_core.host.settings_file import read_own, user_file

    named = read_own().get("workspace")
    return files.workspace_root(given, user_file(), named if isinstance(named, str) else None)


def json_option(command: F) -> F:
    """``--json``: data for programs on stdout instead of text for people."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(command)


def shown_options(command: F) -> F:
    """``--json``, ``--jsonl``, ``--quiet``, ``--verbose``: how a run is shown."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Show texts of models, outputs of tools, and each request."),
        click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only."),
        click.option("--jsonl", is_flag=True, help="Print every event as a line of JSON on stdout."),
        json_option,
    ):
        command = option(command)
    return command


def project_option(command: F) -> F:
    """``--project``: where a task works."""
    return click.option(
        "--project",
        metavar="P",
        default="default",
        show_default=True,
        shell_complete=complete_projects,
        help="Project to work in.",
    )(command)


_POSITIVE = click.FloatRange(min=0, min_open=True)

_TASK: tuple[Callable[[Any], Any], ...] = (
    click.option("--relearn", is_flag=True, help="Follow no trace: learn the goal anew."),
    click.option(
        "--continue",
        "continues",
        metavar="RUN",
        shell_complete=complete_runs,
        help="Go on with the conversation of a run (an id, its last digits, or: last).",
    ),
    click.option("--timeout", "timeout_s", type=_POSITIVE, metavar="S", help="Deadline in seconds."),
    click.option("--max-turns", type=click.IntRange(min=1), metavar="N", help="Most turns of the model."),
    click.option("--max-cost", "max_cost_usd", type=_POSITIVE, metavar="USD", help="Most that the run may spend."),
    click.option("--env", multiple=True, metavar="K=V", help="Variable for commands. Repeatable."),
    click.option(
        "--permission-mode",
        metavar="M",
        shell_complete=complete_permission_modes,
        help="default, acceptEdits, plan (changes nothing), dontAsk ...",
    ),
    click.option("--system-prompt", metavar="TEXT", help="Own system prompt; preset:claude_code for the CLI's."),
    click.option("--model", metavar="M", help="Model alias or id for the Learner."),
    click.option("--priority", type=click.IntRange(0, 100), default=50, metavar="N", help="Of waiting tasks, first."),
    click.option("--constraint", "constraints", multiple=True, metavar="TEXT", help='"Max cost $0.10". Repeatable.'),
    click.option("--input", "inputs", multiple=True, metavar="K=V", help="Data for the goal (text or JSON)."),
    click.option(
        "--dir",
        "directory",
        metavar="D",
        shell_complete=complete_directories,
        help="Working directory; default: the project's output/.",
    ),
    project_option,
    click.option(
        "--mode",
        metavar="MODE",
        default="auto",
        show_default=True,
        shell_complete=complete_modes,
        help="auto, follower, learner ...",
    ),
    click.option("--file", "goal_file", type=click.File("rb"), metavar="F", help="Read the goal from a file."),
    click.argument("goal", required=False),
)


def task_options(command: F) -> F:
    """The goal and where it runs."""
    for option in _TASK:
        command = option(command)
    return command


def read_task(goal: str | None, goal_file: Any, *, inputs: Sequence[str], env: Sequence[str], **fields: Any) -> Task:
    """The task that the options describe. Raises UsageError."""
    from llmos_core.system import make_task

    data = {name: _value(text) for name, text in _pairs(inputs, "--input")}
    return make_task(read_goal(goal, goal_file), inputs=data, env=dict(_pairs(env, "--env")), **fields)


def _pairs(given: Sequence[str], option: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign or not name or name in seen:
            why = f"{name} is given twice." if name in seen else "It must have the form NAME=VALUE."
            raise UsageError(f"{option} {pair!r} cannot be used.", why, f"For example: {option} region=EU")
        seen.add(name)
        yield name, value


def _value(text: str) -> Any:
    """The value of JSON, else the text itself."""
    from llmos_core.trace.scalars import from_json

    try:
        return from_json(text)
    except ValueError:
        return text


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

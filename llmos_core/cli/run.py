"""``llmos run``: a goal to its outcome."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import click
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream

from llmos_core.cli.options import json_option, read_task, task_options, workspace_option
from llmos_core.cli.output import print_error, print_json, printable
from llmos_core.cli.progress import Progress, summary
from llmos_core.errors import LLMOSError, RunInterruptedError, UsageError
from llmos_core.events import Event, RunFinished
from llmos_core.records import AUTO, Outcome, Task
from llmos_core.system import LLMOS

Follow = Callable[[MemoryObjectReceiveStream[Event]], Coroutine[Any, Any, None]]


@click.command()
@task_options
@workspace_option
@json_option
@click.option("--jsonl", is_flag=True, help="Print every event as a line of JSON on stdout.")
def run(workspace: str | None, as_json: bool, jsonl: bool, **fields: Any) -> None:
    """Run GOAL: follow it if it is known, else learn it. Use - to read the goal from standard input.

    The result goes to stdout, progress to stderr.

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 3 budget, 4 denied, 5 replay diverged,
    6 approval needed, 124 timeout, 130 interrupted.

    \b
    Examples:
      llmos run "Create a Python script that prints the primes below 50 and run it"
      llmos run --dir . --mode learner "Repair the failing test"
      echo "Summarise the figures in data/co2.csv in a Markdown report co2.md" | llmos run -
    """
    if as_json and jsonl:
        raise UsageError("Choose one of --json and --jsonl.")
    task = read_task(**fields)
    outcome = execute(task, workspace, _print_events if jsonl else Progress().follow)
    show(outcome, as_json, jsonl)


def execute(task: Task, workspace: str | None, follow: Follow) -> Outcome:
    """Run a task on a system of its own, while ``follow`` reads the events."""
    return anyio.run(_execute, task, workspace, follow)


async def _execute(task: Task, workspace: str | None, follow: Follow) -> Outcome:
    ended: Outcome | LLMOSError = RunInterruptedError("Interrupted.", fix="See what was done: llmos runs list")
    async with LLMOS(workspace) as system:
        with system.events() as events:
            async with anyio.create_task_group() as told:
                await told.start(_stop_when_told, told.cancel_scope)
                async with anyio.create_task_group() as reading:
                    reading.start_soon(follow, events)
                    try:
                        ended = await system.execute_task(task)
                    except LLMOSError as error:
                        ended = error
                        reading.cancel_scope.cancel()
                told.cancel_scope.cancel()
    if isinstance(ended, LLMOSError):
        raise ended
    return ended


async def _stop_when_told(scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
    """The first signal stops the run in good order; from then on a second one ends the process at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


async def _print_events(events: MemoryObjectReceiveStream[Event]) -> None:
    first = None
    async for event in events:
        first = first or event.run_id
        click.echo(event.model_dump_json())
        if isinstance(event, RunFinished) and event.run_id == first:
            return


def show(outcome: Outcome, as_json: bool, jsonl: bool) -> None:
    """The result on stdout, what there is to say about it on stderr; exits with the outcome's code."""
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    elif outcome.output and not jsonl:
        click.echo(printable(outcome.output))
    if outcome.error:
        print_error(outcome.error)
    if outcome.mode != AUTO:
        click.echo(summary(outcome), err=True)
    click.get_current_context().exit(outcome.exit_code)

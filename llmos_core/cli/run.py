"""``llmos run``: a goal to its outcome."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import anyio
import click

from llmos_core.cli.options import read_task, shown_options, task_options, workspace_option
from llmos_core.cli.output import print_error, print_json, printable, say
from llmos_core.cli.progress import EventLines, JsonLines, Progress, summary
from llmos_core.cli.stopping import stop_signals
from llmos_core.cli.story import Level
from llmos_core.errors import ExitCode, LLMOSError, RunInterruptedError, UsageError
from llmos_core.records import AUTO, Outcome, Task
from llmos_core.system import LLMOS, OnAsk


@click.command()
@task_options
@workspace_option
@shown_options
def run(workspace: str | None, as_json: bool, jsonl: bool, quiet: bool, verbose: bool, **fields: Any) -> None:
    """Run GOAL: follow it if it is known, else learn it. Use - to read the goal from standard input.

    The result goes to stdout, progress to stderr. Ctrl-C ends a run in good order, a second one at once.

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 3 budget, 4 denied, 5 replay diverged,
    6 approval needed, 124 timeout, 130 interrupted.

    \b
    Examples:
      llmos run "Create a Python script that prints the primes below 50 and run it"
      llmos run --dir . --mode learner "Repair the failing test"
      echo "Summarise the figures in data/co2.csv in a Markdown report co2.md" | llmos run -
    """
    carry_out(lambda: read_task(**fields), workspace, as_json=as_json, jsonl=jsonl, quiet=quiet, verbose=verbose)


def carry_out(
    make: Callable[[], Task], workspace: str | None, *, as_json: bool, jsonl: bool, quiet: bool, verbose: bool
) -> None:
    """Run a task and show it, as ``llmos run`` does; exits with the code of its outcome."""
    if as_json and jsonl:
        raise UsageError("Choose one of --json and --jsonl.")
    if quiet and verbose:
        raise UsageError("Choose one of --quiet and --verbose.")
    task = make()
    level = Level.QUIET if quiet else Level.VERBOSE if verbose else Level.NORMAL
    view = JsonLines() if jsonl else make_view(level)
    outcome = execute(task, workspace, view, asks=not (as_json or jsonl) and all(map(os.isatty, (0, 1, 2))))
    show(outcome, as_json, jsonl, quiet=quiet, cap=view.cap)


def make_view(level: Level = Level.NORMAL) -> Progress:
    """What shows a run on stderr: lines, and on a terminal a view of what is going on."""
    if level > Level.QUIET and (click.get_current_context().find_root().obj or {}).get("debug"):
        return EventLines()
    if level > Level.QUIET and _is_terminal():
        from llmos_core.cli.live import LiveProgress

        return LiveProgress(level)
    return Progress(level)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def execute(task: Task, workspace: str | None, view: Progress, *, asks: bool = False) -> Outcome:
    """Run a task on a system of its own, while ``view`` shows it, and asks about calls that need approval."""
    _fill_standard_streams()
    return anyio.run(_execute, task, workspace, view, view.ask if asks else None)


def _fill_standard_streams() -> None:
    """Where a standard stream is closed, no file of ours may take its number: others would write into it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


async def _execute(task: Task, workspace: str | None, view: Progress, on_ask: OnAsk | None) -> Outcome:
    told, received = anyio.Event(), list[int]()

    def stop(number: int) -> None:
        received.append(number)
        told.set()

    with stop_signals(stop):
        async with LLMOS(workspace) as system:
            with system.events() as events:
                async with anyio.create_task_group() as showing:
                    showing.start_soon(view.follow, events)
                    ended = await _run(system, task, view, told, received, on_ask)
                    system.machine.bus.end(events)
    if isinstance(ended, LLMOSError):
        raise ended
    outcome = ended or view.outcome
    if outcome is None:
        raise RunInterruptedError("Interrupted.", "Nothing was run yet.")
    return outcome


async def _run(
    system: LLMOS, task: Task, view: Progress, told: anyio.Event, received: list[int], on_ask: OnAsk | None
) -> Outcome | LLMOSError | None:
    """How it ended; None where it was stopped: the run's last event says the rest."""
    ended: Outcome | LLMOSError | None = None
    async with anyio.create_task_group() as waiting:
        with anyio.CancelScope() as scope:

            async def stop_when_told() -> None:
                await told.wait()
                scope.cancel()
                await view.note(_stopping(received[0]))

            waiting.start_soon(stop_when_told)
            try:
                ended = await system.execute_task(task, on_ask=on_ask)
            except LLMOSError as error:
                ended = error
        waiting.cancel_scope.cancel()
    return ended


def _stopping(number: int) -> str:
    if number == signal.SIGINT:
        return "Stopping: what was done is kept. Press Ctrl-C again to end at once."
    return f"Stopping ({signal.Signals(number).name}): what was done is kept. A second signal ends at once."


def show(outcome: Outcome, as_json: bool, jsonl: bool, *, quiet: bool = False, cap: float | None = None) -> None:
    """The result on stdout, what there is to say about it on stderr; exits with the outcome's code."""
    if as_json:
        print_json(outcome.model_dump(mode="json"))
    elif outcome.output and not jsonl:
        click.echo(printable(outcome.output))
    if outcome.error:
        print_error(outcome.error)
    if outcome.exit_code == ExitCode.INTERRUPTED:
        short = outcome.run_id.rpartition("-")[2]
        say(f"Kept: see it with llmos runs show {short}, take it back with llmos undo {short}.")
    if outcome.mode != AUTO and not quiet:
        say(summary(outcome, cap))
    click.get_current_context().exit(outcome.exit_code)

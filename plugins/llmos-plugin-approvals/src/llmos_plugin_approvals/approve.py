"""``llmos approve``: a yes, or a no, for the calls that a run waits for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from llmos_core import LLMOS, LLMOSError, PastRun, Task, UsageError, clock
from llmos_core.commands import call_text, complete_runs, json_option, one_line, print_json, printable, workspace_option
from llmos_plugin_approvals.store import Answer, AnswerStore, Scope, main_argument, matches
from llmos_plugin_approvals.waiting import Waiting, waiting_calls, way_on

_WIDE = 8
"""A pattern with fewer characters that stand for themselves is called wide."""


@click.command()
@click.argument("run", shell_complete=complete_runs)
@click.option(
    "--once", is_flag=True, help="For the next run of the goal, once; used or not, it is gone after it. The default."
)
@click.option("--project", is_flag=True, help="For every run in this project and directory: exactly these calls.")
@click.option("--pattern", metavar="GLOB", help="For every call whose main argument fits; * and ? are wildcards.")
@click.option("--deny", is_flag=True, help="Say no instead: the next run is refused the calls, and goes on.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@workspace_option
@json_option
def approve(
    run: str,
    once: bool,
    project: bool,
    pattern: str | None,
    deny: bool,
    yes: bool,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Approve the calls that RUN waits for: an id, its last digits, or `last`. Then: llmos resume RUN.

    An approval holds for exactly these arguments, in this project and working directory. A call that a rule denies
    stays denied. Without a terminal, and with --json, it needs --yes, and exits with 2 otherwise.

    \b
    Examples:
      llmos approve last
      llmos approve 2f1 --project
      llmos approve last --pattern "git push origin *"
    """
    if once + project + (pattern is not None) > 1:
        raise UsageError("Choose one of --once, --project and --pattern.")
    if as_json and not yes:
        raise UsageError("Nothing was approved.", "With --json nobody is asked.", "Add --yes.")
    system = LLMOS(workspace)
    past = system.past(run)
    task, waiting = waiting_calls(past)
    scope: Scope = "pattern" if pattern is not None else "project" if project else "once"
    if pattern is not None:
        waiting = _fitting(pattern, waiting)
    if not as_json:
        _show(waiting, pattern, deny=deny, asks=not yes)
    if not yes:
        _confirm(deny=deny)
    assert system.workspace is not None
    store = AnswerStore(system.workspace.root)
    for answer in (_answer(one, scope, pattern, allowed=not deny) for one in waiting):
        store.keep(answer)
    if as_json:
        print_json({**_data(task, waiting, scope, pattern, deny=deny), "again": way_on(past, task)})
    else:
        _tell(past, task, scope, len(waiting), deny=deny)


def _fitting(pattern: str, waiting: Sequence[Waiting]) -> list[Waiting]:
    """The calls that a pattern fits. Raises UsageError for one that fits everything, or none of them."""
    if not pattern.strip("*? "):
        raise UsageError(
            f"The pattern {pattern!r} fits every call.",
            "It would switch the question off.",
            'Name what is allowed, for example: --pattern "git push origin *"',
        )
    fitting = [one for one in waiting if matches(pattern, one.asked.call)]
    if not fitting:
        arguments = [main[1] for one in waiting if (main := main_argument(one.asked.call))]
        raise UsageError(
            "The pattern fits none of the calls that wait.",
            "; ".join(one_line(text, 100) for text in arguments),
            "In commands a wildcard stands for no shell operator: write those out.",
        )
    return fitting


def _show(waiting: Sequence[Waiting], pattern: str | None, *, deny: bool, asks: bool) -> None:
    """Show the calls; where a person is asked about them, wherever stdout leads to."""
    for one in waiting:
        rule = f" (rule {one.verdict.rule})" if one.verdict.rule else ""
        again = " It was approved and made in this run; the next run makes it again." if one.again else ""
        click.echo(call_text(one.asked.call), err=asks)
        click.echo(f"  because: {one_line(one.verdict.reason + rule, 500)}{again}", err=asks)
    if pattern is not None:
        tools = ", ".join(sorted({one.asked.call.tool for one in waiting}))
        what = "refuses" if deny else "allows"
        click.echo(
            f"The pattern {what} every call of {tools} in this project that fits: {printable(pattern)}", err=True
        )
        if len(pattern.replace("*", "").replace("?", "")) < _WIDE:
            click.echo("That is a wide pattern: think of the options that such a call can take.", err=True)


def _confirm(*, deny: bool) -> None:
    if not _is_terminal():
        raise UsageError("Nothing was approved.", "There is no terminal to ask on.", "Add --yes.")
    if not click.confirm("Refuse?" if deny else "Approve?", err=True):
        raise LLMOSError("Nothing was approved.")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _answer(one: Waiting, scope: Scope, pattern: str | None, *, allowed: bool) -> Answer:
    asked = one.asked
    return Answer(
        scope=scope,
        allowed=allowed,
        project=asked.project,
        directory=asked.directory,
        goal=asked.goal,
        continues=asked.continues,
        run_id=asked.run_id,
        call_id=asked.call.id,
        tool=asked.call.tool,
        input=asked.call.input,
        exact=asked.exact,
        pattern=pattern,
        at=clock.now(),
    )


def _tell(past: PastRun, task: Task, scope: Scope, count: int, *, deny: bool) -> None:
    calls = "1 call" if count == 1 else f"{count} calls"
    where = "for the next run of this goal" if scope == "once" else "in this project"
    done = f"{'Refused' if deny else 'Approved'}: {calls}, {where}."
    command = way_on(past, task)
    if command is None:
        click.echo(f"{done} Run the goal again, with the same options: its variables (--env) are kept nowhere.")
        return
    click.echo(f"{done} Go on with:\n  {command}")
    if past.outcome is not None and past.outcome.mode == "LEARNER" and task.continues is None:
        click.echo("Or run the goal again, with the same options: that makes a trace, which later runs can follow.")


def _data(task: Task, waiting: Sequence[Waiting], scope: Scope, pattern: str | None, *, deny: bool) -> dict[str, Any]:
    return {
        "run_id": waiting[0].asked.run_id,
        "goal": task.goal,
        "project": task.project,
        "answer": "denied" if deny else "approved",
        "scope": scope,
        "pattern": pattern,
        "calls": [call_data(one) for one in waiting],
    }


def call_data(one: Waiting) -> dict[str, Any]:
    """A call that waits, as data."""
    call, verdict = one.asked.call, one.verdict
    return {
        "tool": call.tool,
        "input": call.input,
        "agent_id": call.agent_id,
        "reason": verdict.reason,
        "rule": verdict.rule,
        "again": one.again,
    }

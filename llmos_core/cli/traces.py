"""``llmos traces``: what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import click

from llmos_core.cli.completion import complete_directories, complete_traces
from llmos_core.cli.options import json_option, project_option, workspace_option
from llmos_core.cli.output import print_json, print_table, printable
from llmos_core.errors import UsageError

if TYPE_CHECKING:
    from llmos_core.contracts import StoredTrace


@click.group()
def traces() -> None:
    """What was learned: list it, read it, verify it.

    \b
    Examples:
      llmos traces list
      llmos traces show bd930d5f
      llmos traces verify bd930d5f --dir .
    """


@traces.command("list")
@workspace_option
@json_option
def list_(workspace: str | None, as_json: bool) -> None:
    """List all versions of all traces, with how often they were followed."""
    stored = anyio.run(_all, workspace)
    if as_json:
        print_json([_data(trace) for trace in stored])
        return
    rows = [
        (s.trace_id[:8], s.version[:8], _told(s), str(s.uses), f"{s.successes}/{s.uses}", _cost(s), _goal(s))
        for s in stored
    ]
    headers = ("trace", "version", "state", "uses", "succeeded", "cost", "goal")
    print_table(headers, rows, "Nothing was learned yet.")


@traces.command()
@click.argument("trace", shell_complete=complete_traces)
@click.option("--version", metavar="V", help="Version (or its first digits); default: the newest.")
@workspace_option
@json_option
def show(trace: str, version: str | None, workspace: str | None, as_json: bool) -> None:
    """Show TRACE (an id from `llmos traces list`, or its first digits) as the Markdown it is."""
    stored, missing = anyio.run(_find, workspace, trace, version)
    if as_json:
        steps = stored.trace.model_dump(mode="json") if stored.trace else None
        print_json({**_data(stored), "missing_tools": missing, "trace": steps})
        return
    click.echo(f"{_told(stored)}, followed {stored.uses} times, {stored.location}", err=True)
    if stored.refusal:
        click.echo(f"Not followable: {printable(stored.refusal)}", err=True)
    if missing:
        click.echo(f"It needs tools that are not installed: {printable(missing)}", err=True)
    if stored.trace:
        from llmos_core.trace.markdown import render_trace

        click.echo(printable(render_trace(stored.trace)), nl=False)


@traces.command()
@click.argument("trace", shell_complete=complete_traces)
@click.option("--version", metavar="V", help="Version (or its first digits); default: the newest.")
@project_option
@click.option(
    "--dir",
    "directory",
    metavar="D",
    shell_complete=complete_directories,
    help="Directory to copy; default: the project's output/.",
)
@workspace_option
@json_option
def verify(trace: str, version: str | None, workspace: str | None, as_json: bool, **fields: Any) -> None:
    """Replay TRACE in a copy of the working directory, and say whether it gives what it recorded.

    A trace that was edited by hand becomes followable again, as a new version, if it verifies. One that was learned
    elsewhere is replayed without network; if it verifies, it is trusted from then on. Read it before.
    """
    from llmos_core.cli.run import execute, make_view, show
    from llmos_core.system import make_task

    stored, _ = anyio.run(_find, workspace, trace, version)
    if stored.trace is None:
        raise UsageError(f"The trace {stored.trace_id} cannot be read.", stored.fault or "")
    task = make_task(stored.trace.goal_text, mode="verifier", version=stored.version, **fields)
    show(execute(task, workspace, make_view()), as_json, jsonl=False)


async def _all(workspace: str | None) -> list[StoredTrace]:
    from llmos_core.system import LLMOS

    async with LLMOS(workspace) as system:
        return [stored async for stored in system.machine.traces.scan()]


async def _find(workspace: str | None, trace_id: str, version: str | None) -> tuple[StoredTrace, str | None]:
    """The one trace meant by the first digits of its id (and version), and the tools it lacks. Raises UsageError."""
    from llmos_core.system import LLMOS

    found: dict[str, StoredTrace] = {}
    async with LLMOS(workspace) as system:
        async for stored in system.machine.traces.scan():
            if stored.trace_id.startswith(trace_id) and stored.version.startswith(version or ""):
                found.setdefault(stored.trace_id, stored)
    if len(found) == 1:
        [stored] = found.values()
        return stored, stored.trace.missing(system.machine.tools) if stored.trace else None
    named = f"{trace_id}, version {version}" if version else trace_id
    what = f"There is no trace {named}." if not found else f"{trace_id} names {len(found)} traces."
    raise UsageError(what, fix="See the traces with: llmos traces list")


def _state(stored: StoredTrace) -> str:
    if stored.trace is None:
        return "broken"
    if not stored.intact:
        return "edited"
    return "experience" if stored.refusal else "followable"


def _told(stored: StoredTrace) -> str:
    """The state for people; what is broken or edited is not followed, whoever wrote it."""
    state = _state(stored)
    return f"{state}, learned elsewhere" if stored.foreign and stored.trace and stored.intact else state


def _goal(stored: StoredTrace) -> str:
    return stored.trace.goal_text if stored.trace else stored.fault or ""


def _cost(stored: StoredTrace) -> str:
    return f"${stored.trace.estimated_cost_usd:.4f}" if stored.trace else "-"


def _data(stored: StoredTrace) -> dict[str, Any]:
    data = stored.model_dump(mode="json", exclude={"trace"})
    trace = stored.trace
    return {
        **data,
        "state": _state(stored),
        "refused": stored.refusal,
        "goal": trace.goal_text if trace else None,
        "steps": len(trace.steps) if trace else None,
        "cost_usd": trace.estimated_cost_usd if trace else None,
    }

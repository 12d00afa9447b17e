"""``llmos feedback``: what a user says of a run, which decides whether its trace is followed."""

from __future__ import annotations

import anyio
import anyio.to_thread
import click

from llmos_core import LLMOS, PastRun, StoredTrace, UsageError
from llmos_core.commands import complete_runs, json_option, print_json, printable, workspace_option

_MAX_CHARS = 1_000
_SEE = "See what runs made or followed with: llmos runs list --json"


@click.command()
@click.argument("run", shell_complete=complete_runs)
@click.argument("verdict", type=click.Choice(["good", "bad"]))
@click.argument("text", nargs=-1)
@workspace_option
@json_option
def feedback(run: str, verdict: str, text: tuple[str, ...], workspace: str | None, as_json: bool) -> None:
    """Say how RUN was: an id, its last digits, or `last`.

    The version of the trace that the run made or followed is not followed any more after `bad`, and again after
    `good`; the last word counts. TEXT says why. Exits with 0; with 2 where the run has no trace.

    \b
    Examples:
      llmos feedback last good
      llmos feedback last bad "The table misses the totals"
    """
    good = verdict == "good"
    said = _checked(" ".join(" ".join(text).split()))
    past, stored = anyio.run(_feedback, workspace, run, good, said)
    if as_json:
        names = {"run_id": past.id, "trace_id": stored.trace_id, "trace_version": stored.version}
        print_json({**names, "good": good, "text": said, "followable": not stored.refusal, "refused": stored.refusal})
        return
    name = f"Trace {stored.trace_id[:8]}, version {stored.version[:8]},"
    if stored.refusal is None:
        click.echo(f"{name} may be followed.")
    elif stored.disputed and stored.refusal == stored.disputed:
        click.echo(f"{name} is not followed any more, until a run with it is called good.")
    else:
        click.echo(printable(f"{name} is not followed: {stored.refusal}."))


def _checked(text: str) -> str:
    """Raises UsageError for what cannot be kept."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError("The text is not valid UTF-8.", str(error)) from error
    if len(text) > _MAX_CHARS:
        raise UsageError("The text is too long.", f"It has {len(text):,} characters; {_MAX_CHARS:,} are kept.")
    return text


async def _feedback(workspace: str | None, run: str, good: bool, text: str) -> tuple[PastRun, StoredTrace]:
    """Keep the word, and give the version as it stands then."""
    async with LLMOS(workspace) as system:
        past = await anyio.to_thread.run_sync(system.past, run)
        outcome, traces = past.outcome, system.machine.traces
        if outcome is None:
            raise UsageError(f"Run {past.id} made no trace.", "It did not end, or still works.", _SEE)
        if outcome.trace_id is None or outcome.trace_version is None:
            raise UsageError(f"Run {past.id} neither made nor followed a trace.", "There is nothing to judge.", _SEE)
        named = f"{outcome.trace_id[:8]}, version {outcome.trace_version[:8]},"
        if await _stored(system, outcome.trace_id, outcome.trace_version) is None:
            raise UsageError(f"Trace {named} of run {past.id} is not kept any more.", fix="See: llmos traces list")
        await traces.feedback(outcome.trace_id, outcome.trace_version, past.id, good, text)
        stored = await _stored(system, outcome.trace_id, outcome.trace_version)
        assert stored is not None
        return past, stored


async def _stored(system: LLMOS, trace_id: str, version: str) -> StoredTrace | None:
    versions = await system.machine.traces.versions(trace_id)
    return next((stored for stored in versions if stored.version == version), None)

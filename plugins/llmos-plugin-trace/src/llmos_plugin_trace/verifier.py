"""The mode VERIFIER: a stored trace is replayed in a copy of the working directory, and its outcome told."""

from __future__ import annotations

from llmos_core import (
    Bid,
    DivergedError,
    LLMOSError,
    Result,
    Run,
    StoredTrace,
    Task,
    Trace,
    TraceError,
    TraceSaved,
    TreeState,
    UsageError,
    goal_signature,
    preflight,
    values_for,
)
from llmos_plugin_trace.keep import save, verified
from llmos_plugin_trace.verify import replay_in_copy


class Verifier:
    """Runs only where its mode is asked for. A trace that verifies anew is saved as a new version.

    One that was learned elsewhere is replayed without network, as it would be followed; if it verifies it is saved, and
    so is the user's own from then on.
    """

    name = "VERIFIER"
    learns = False

    async def bid(self, task: Task, run: Run) -> Bid:
        if task.mode != self.name:
            return Bid.cannot(UsageError("It acts only on demand."))
        return Bid(fit=1.0, reason="asked for")

    async def run(self, task: Task, run: Run) -> Result:
        stored = await _find(task, run)
        named = {"trace_id": stored.trace_id, "trace_version": stored.version}
        if stored.trace is None:
            return Result.failed(
                TraceError(f"The trace {stored.trace_id} cannot be read.", stored.fault or ""), **named
            )
        if not stored.trace.completed:
            return Result.failed(_not_verified(stored, stored.refusal or ""), **named)
        if stored.foreign:
            run.go_offline()
        try:
            await preflight(stored.trace, values_for(stored.trace, str(run.workdir), str(run.workspace)), run)
        except LLMOSError as error:
            return Result.failed(error, **named)
        left = await replay_in_copy(stored.trace, run)
        if isinstance(left, str):
            return Result.failed(_not_verified(stored, left), **named)
        # What was edited by hand is a new program: it is known by the files that it leaves now.
        trace = stored.trace if stored.intact else stored.trace.model_copy(update={"files": tuple(left.files)})
        if (wrong := _wrong_file(trace, left.state)) is not None:
            return Result.failed(_not_verified(stored, wrong), **named)
        was_foreign = stored.foreign
        if stored.refusal is not None or was_foreign:
            stored = await save(trace if stored.refusal is None else verified(trace), run)
            run.emit(TraceSaved(trace_id=stored.trace_id, version=stored.version, followable=True))
        trusted = ", trusted from now on" if was_foreign and not stored.foreign else ""
        return Result(
            success=True,
            output=f"Verified: {stored.trace_id}, version {stored.version}{trusted}",
            steps=len(trace.steps),
            trace_id=stored.trace_id,
            trace_version=stored.version,
        )


async def _find(task: Task, run: Run) -> StoredTrace:
    for stored in await run.traces.versions(goal_signature(task.goal)):
        if task.version in (None, stored.version):
            return stored
    raise UsageError("There is no such trace.", fix="See the traces with: llmos traces list")


def _wrong_file(trace: Trace, left: TreeState) -> str | None:
    for produced in trace.files:
        state = left.entries.get(produced.path)
        if (state.digest if state else None) != produced.digest:
            came = f"sha256:{state.digest}" if state else "missing"
            return f"on replay, {produced.path} came out as {came}"
    return None


def _not_verified(stored: StoredTrace, reason: str) -> LLMOSError:
    network = ", without network (it is not one that you learned here)" if stored.foreign else ""
    return DivergedError(
        f"The trace {stored.trace_id} did not verify.",
        f"In a copy of the working directory{network}: {reason}",
        "Learn the goal anew: add --mode learner.",
    )

"""Keeping a learned run: capture, compile, verify, save."""

from __future__ import annotations

import time

import anyio
import anyio.to_thread

from llmos_core import Notice, Outcome, Run, StoredTrace, Trace, TraceSaved, TreeState, Verification, clock
from llmos_plugin_trace.capture import Capture, capture
from llmos_plugin_trace.compile import compile_trace, produced_files
from llmos_plugin_trace.verify import verify


async def keep_run(outcome: Outcome, run: Run) -> Outcome | None:
    """Save what a run did: followable if it verified, else as experience, with the reason.

    Returns None for a run that called no tool: there is nothing to replay. Cancelled during the verification, it still
    saves the experience: it was paid for.
    """
    done = await capture(run)
    if not done.calls or done.began is None:
        return None
    start, end = await run.start_state(), await run.tree_state()
    files = await anyio.to_thread.run_sync(produced_files, start, end, run.workdir, done.began)
    trace = compile_trace(outcome, run, done.calls, files)
    hindrance = _hindrance(outcome, done, start, end) or _not_replayable(run, done)
    began = time.perf_counter()
    reason: str | None = "the verification was interrupted"
    try:
        reason = hindrance or await verify(trace, run, done.calls, end)
    finally:
        with anyio.CancelScope(shield=True):
            kept = await _save(trace, run, reason, None if hindrance else round(time.perf_counter() - began, 3))
    return outcome.model_copy(update=kept)


async def _save(trace: Trace, run: Run, reason: str | None, verify_s: float | None) -> dict[str, object]:
    trace = verified(trace) if reason is None else trace.model_copy(update={"unverified_reason": reason})
    stored = await save(trace, run)
    run.emit(
        TraceSaved(
            trace_id=stored.trace_id,
            version=stored.version,
            followable=reason is None,
            reason=reason or "",
            verify_s=verify_s,
        )
    )
    return {"trace_id": stored.trace_id, "trace_version": stored.version, "followable": reason is None}


async def save(trace: Trace, run: Run) -> StoredTrace:
    """Save a trace; if it could not be sealed as the user's own, that is told."""
    stored = await run.traces.save(trace)
    if stored.foreign:
        text = (
            "The trace is kept, but could not be marked as your own, so it counts as learned elsewhere: its commands "
            "will reach no network. Make your data directory and the workspace writable, then run: "
            f"llmos traces verify {stored.trace_id[:8]} --version {stored.version[:8]}"
        )
        run.emit(Notice(level="warning", text=text))
    return stored


def _hindrance(outcome: Outcome, done: Capture, start: TreeState, end: TreeState) -> str | None:
    """Why verification cannot even be tried."""
    if not outcome.success:
        return f"the run failed: {outcome.error.what}" if outcome.error else "the run failed"
    if done.cut_off:
        return f"a call of {done.cut_off[0].tool} was cut off: what it did is not known"
    if done.calls[-1].result.is_error:
        return f"its last step failed: {done.calls[-1].call.tool}"
    return start.missing or end.missing


def _not_replayable(run: Run, done: Capture) -> str | None:
    if run.task.continues is not None:
        return f"it goes on with the conversation of run {run.task.continues}, which no replay knows"
    for recorded in done.calls:
        if recorded.native and recorded.call.tool not in run.tools:
            return f"it used {recorded.call.tool}, a tool of the Claude Code CLI that the kernel has not"
    return None


def verified(trace: Trace) -> Trace:
    """The trace, marked as verified by replay just now."""
    seen = Verification(at=clock.now(), steps=len(trace.steps), files=len(trace.files))
    return trace.model_copy(update={"verified": seen, "unverified_reason": None, "success_rating": 1.0})

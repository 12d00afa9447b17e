"""Keeping a learned run: capture, compile, verify, save."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from llmos_core import Outcome, Run, Trace, TraceSaved, TreeState, Verification
from llmos_plugin_trace.capture import recorded_calls
from llmos_plugin_trace.compile import compile_trace, produced_files
from llmos_plugin_trace.verify import verify


async def keep_run(outcome: Outcome, run: Run) -> Outcome | None:
    """Save what a run did: followable if it verified, else as experience, with the reason.

    Returns None for a run that called no tool: there is nothing to replay.
    """
    calls = await recorded_calls(run)
    if not calls:
        return None
    start, end = await run.start_state(), await run.tree_state()
    files = produced_files(start, end)
    trace = compile_trace(outcome, run, calls, files)
    began = time.perf_counter()
    reason = _hindrance(outcome, start, end) or await verify(trace, run, calls, end)
    verify_s = round(time.perf_counter() - began, 3)
    trace = verified(trace) if reason is None else trace.model_copy(update={"unverified_reason": reason})
    stored = await run.traces.save(trace)
    run.emit(
        TraceSaved(
            trace_id=stored.trace_id,
            version=stored.version,
            followable=reason is None,
            reason=reason or "",
            verify_s=verify_s,
        )
    )
    named = {"trace_id": stored.trace_id, "trace_version": stored.version, "followable": reason is None}
    return outcome.model_copy(update=named)


def _hindrance(outcome: Outcome, start: TreeState, end: TreeState) -> str | None:
    """Why verification cannot even be tried."""
    if not outcome.success:
        return f"the run failed: {outcome.error.what}" if outcome.error else "the run failed"
    return start.missing or end.missing


def verified(trace: Trace) -> Trace:
    """The trace, marked as verified by replay just now."""
    seen = Verification(at=datetime.now(UTC), steps=len(trace.steps), files=len(trace.files))
    return trace.model_copy(update={"verified": seen, "unverified_reason": None, "success_rating": 1.0})

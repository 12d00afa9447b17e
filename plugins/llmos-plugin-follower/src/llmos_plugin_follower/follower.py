"""The Follower: replays a verified trace, step by step, for $0, and stops at the first difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio.to_thread

from llmos_core import (
    Bid,
    Candidate,
    DeniedError,
    DivergedError,
    LLMOSError,
    Matcher,
    Notice,
    Replayed,
    Result,
    Run,
    StoredTrace,
    Task,
    ToolCall,
    ToolResult,
    Trace,
    TraceError,
    UsageError,
    bind,
    file_digest,
    preflight,
    replay,
    values_for,
)

_CHOSEN = "follower.chosen"


class Follower:
    """Bids for a task where a trace may be followed, with the confidence of the match, at $0."""

    name = "FOLLOWER"
    learns = False

    async def bid(self, task: Task, run: Run) -> Bid:
        if task.relearn:
            return Bid.cannot(UsageError("The goal is to be learned anew."))
        if task.permission_mode == "plan":
            return Bid.cannot(UsageError("A run that may only plan follows nothing."))
        if task.continues is not None:
            return Bid.cannot(UsageError("A conversation that goes on is nothing to be followed."))
        candidates = [candidate for matcher in run.matchers for candidate in await _proposed(matcher, task, run)]
        fitting = (candidate for candidate in candidates if candidate.refused is None)
        chosen = min(fitting, key=lambda candidate: candidate.foreign, default=None)
        if chosen is None:
            return Bid.cannot(_none_fits(candidates), tuple(candidates))
        run.state[_CHOSEN] = chosen
        reason = f"a verified trace fits ({chosen.trace_id[:8]}, version {chosen.version[:8]})"
        if chosen.foreign:
            reason += ", learned elsewhere"
        if chosen.missing:
            reason += f", but tools are not installed that it needs: {chosen.missing}"
        return Bid(fit=chosen.score, reason=reason, candidates=tuple(candidates))

    async def run(self, task: Task, run: Run) -> Result:
        chosen: Candidate = run.state[_CHOSEN]
        stored = await _load(chosen, run)
        assert stored.trace is not None
        named = {"trace_id": stored.trace_id, "trace_version": stored.version}
        if stored.foreign:
            _distrust(stored, run)
        values = values_for(stored.trace, str(run.workdir), str(run.workspace))
        try:
            _check_tools(stored.trace, run)
            await preflight(stored.trace, values, run)
            replayed = await replay(stored.trace, values, _Caller(run))
            _check_steps(replayed, stored)
            await _check_files(stored, run.workdir)
        except LLMOSError as error:
            if isinstance(error, DivergedError):  # what guards or this machine refuse says nothing of the trace
                await _count(stored, run, success=False)
            return Result.failed(error, **named)
        await _count(stored, run, success=True)
        return Result(
            success=True,
            output=str(bind(stored.trace.answer, values)),
            saved_usd=stored.trace.estimated_cost_usd,
            saved_billing=stored.trace.cost_billing,
            **named,
        )


async def _proposed(matcher: Matcher, task: Task, run: Run) -> Sequence[Candidate]:
    """What a matcher proposes. One that fails is told, and stops no other from finding the trace."""
    try:
        return list(await matcher.propose(task, run))
    except LLMOSError:
        raise
    except Exception as error:  # noqa: BLE001 - a matcher is the code of any plugin
        run.emit(Notice(level="warning", text=f"The matcher {matcher.name} failed ({type(error).__name__}: {error})."))
        return ()


def _distrust(stored: StoredTrace, run: Run) -> None:
    """Take the network away from a trace that somebody else may have written, and say how to trust it."""
    run.go_offline()
    named = f"{stored.trace_id[:8]} --version {stored.version[:8]}"
    text = (
        "This trace was not learned here by you, so its commands reach no network. "
        f"To trust it, read it (llmos traces show {named}), then run: llmos traces verify {named}"
    )
    run.emit(Notice(level="warning", text=text))


async def _count(stored: StoredTrace, run: Run, *, success: bool) -> None:
    """Count the outcome; what was followed stays followed where that fails."""
    try:
        await run.traces.record(stored.trace_id, stored.version, run.id, success)
    except LLMOSError as error:
        run.emit(Notice(level="warning", text=" ".join(str(error).split())))


class _Caller:
    """Calls through the run, and turns a refusal by the guards into an error of its own."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def call(self, call: ToolCall) -> ToolResult:
        result = await self._run.call(call)
        if result.data.get("denied"):
            raise DeniedError(f"{call.id} ({call.tool}) was refused.", str(result.data.get("reason")))
        return result


def _none_fits(candidates: Sequence[Candidate]) -> LLMOSError:
    if not candidates:
        return TraceError("No trace fits this goal.", "Nothing was learned for exactly this goal.")
    newest = candidates[0]
    return TraceError(
        "No trace may be followed for this goal.", f"{newest.trace_id}, version {newest.version}: {newest.refused}"
    )


async def _load(chosen: Candidate, run: Run) -> StoredTrace:
    """The chosen version, read again: it may have changed since the auction."""
    for stored in await run.traces.versions(chosen.trace_id):
        if stored.version == chosen.version and stored.refusal is None:
            return stored
    raise TraceError("The trace is no longer there.", f"{chosen.trace_id}, version {chosen.version}.")


def _check_tools(trace: Trace, run: Run) -> None:
    """Before the first step: every tool is there."""
    if missing := trace.missing(run.tools):
        raise TraceError(
            f"The trace needs tools that are not installed: {missing}",
            fix="Install what brings them (llmos plugins install ...), or learn the goal anew with --mode learner.",
        )


def _check_steps(replayed: Replayed, stored: StoredTrace) -> None:
    if replayed.divergence is not None:
        learned = f"The world differs from the one in which {stored.trace_id} was learned."
        if replayed.steps:
            learned += " What the steps before it changed stays changed."
        raise DivergedError(
            f"The replay stopped: {replayed.divergence.message()}",
            f"{learned}\n{replayed.divergence.diff()}",
            "Learn the goal anew: add --mode learner.",
        )


async def _check_files(stored: StoredTrace, workdir: Path) -> None:
    assert stored.trace is not None
    wanted = {produced.path: produced.digest for produced in stored.trace.files}
    found = await anyio.to_thread.run_sync(_digests, workdir, tuple(wanted))
    for path, digest in wanted.items():
        if found[path] != digest:
            state = "is missing" if found[path] is None else "is there" if digest is None else "has other contents"
            raise DivergedError(
                f"After the last step, {path} {state}.",
                "Every step gave what was recorded, but the files they leave differ.",
                "Learn the goal anew: add --mode learner.",
            )


def _digests(workdir: Path, paths: Sequence[str]) -> Mapping[str, str | None]:
    digests: dict[str, str | None] = {}
    for name in paths:
        path = workdir / name
        digests[name] = file_digest(path) if path.is_file() else None
    return digests

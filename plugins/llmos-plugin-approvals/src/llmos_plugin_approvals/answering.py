"""Answering for people, during a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import anyio.to_thread

from llmos_core import ExitCode, Outcome, Run, ToolCall, ToolStarted, UserInput, canonical_goal, exact_call
from llmos_plugin_approvals.store import Answer, AnswerStore, Asked, Attempt

_USED = "approvals.used"


async def answer(call: ToolCall, run: Run) -> bool | None:
    """What is remembered of this call; None if nothing is."""
    taken = await anyio.to_thread.run_sync(_take, call, run)
    if taken is None:
        return None
    if taken.scope == "once":
        used: list[tuple[str, Answer]] = run.state.setdefault(_USED, [])
        used.append((call.id, taken))
    return taken.allowed


async def end(outcome: Outcome, run: Run) -> None:
    """Forget the answers that were for this run only.

    If it could not do its work, since it lacks another approval or failed before its first call, those that it did not
    need become its own: they hold for the next attempt, whether that begins again or goes on with this one.
    """
    used: list[tuple[str, Answer]] = run.state.pop(_USED, [])
    once = await anyio.to_thread.run_sync(_once, run)
    if not used and not once:
        return
    began: datetime | None = None
    started = set()
    async for event in run.history():
        match event:
            case UserInput():
                began = began or event.at
            case ToolStarted():
                started.add(event.call.id)
    given = [answer for answer in once if began is not None and answer.at < began]
    kept = []
    if outcome.exit_code == ExitCode.APPROVAL or not (outcome.success or started):
        kept = given + [answer for call_id, answer in used if answer.allowed and call_id not in started]
    await anyio.to_thread.run_sync(_settle, kept, given, run)


def _once(run: Run) -> list[Answer]:
    attempt = _attempt(run)
    return [one for one in AnswerStore(run.workspace).answers() if one.scope == "once" and one.is_for(attempt)]


def _settle(kept: Sequence[Answer], given: Sequence[Answer], run: Run) -> None:
    store, own = AnswerStore(run.workspace), {**_attempt(run).model_dump(), "run_id": run.id}
    for answer in kept:
        store.keep(answer.model_copy(update=own))
    for answer in given:
        store.forget(answer)


def _take(call: ToolCall, run: Run) -> Answer | None:
    attempt = _attempt(run)
    asked = Asked(**attempt.model_dump(), run_id=run.id, call=call, exact=exact_call(call, run.workdir))
    return AnswerStore(run.workspace).take(asked)


def _attempt(run: Run) -> Attempt:
    task = run.task
    return Attempt(
        project=task.project,
        # A copy of a run lies elsewhere, and stands for the run's own directory.
        directory=str(Path(task.directory).resolve()) if task.directory else "",
        goal=canonical_goal(task.goal),
        continues=task.continues,
    )

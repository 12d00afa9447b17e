"""Answering for people, during a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio.to_thread

from llmos_core import Run, ToolCall, ToolStarted, canonical_goal, exact_call
from llmos_plugin_approvals.store import Answer, AnswerStore, Asked

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


async def bring_back(run: Run) -> None:
    """Remember again what was used up for calls that never started: a run is refused as a whole before its first."""
    used: list[tuple[str, Answer]] = run.state.pop(_USED, [])
    if not any(answer.allowed for _, answer in used):
        return
    started = {event.call.id async for event in run.history() if isinstance(event, ToolStarted)}
    store = AnswerStore(run.workspace)
    for call_id, answer in used:
        if answer.allowed and call_id not in started:
            await anyio.to_thread.run_sync(partial(store.keep, answer))


def _take(call: ToolCall, run: Run) -> Answer | None:
    task = run.task
    asked = Asked(
        project=task.project,
        # A copy of a run lies elsewhere, and stands for the run's own directory.
        directory=str(Path(task.directory).resolve()) if task.directory else "",
        goal=canonical_goal(task.goal),
        run_id=run.id,
        continues=task.continues,
        call=call,
        exact=exact_call(call, run.workdir),
    )
    return AnswerStore(run.workspace).take(asked)

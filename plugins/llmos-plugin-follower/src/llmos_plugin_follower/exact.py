"""The exact matcher: a trace fits a goal whose canonical text is the same, and no other."""

from __future__ import annotations

from collections.abc import Iterable

from llmos_core import Candidate, Run, StoredTrace, Task, canonical_goal, goal_signature


class ExactMatcher:
    """Proposes the versions kept under the goal's own signature, newest first."""

    name = "exact"

    async def propose(self, task: Task, run: Run) -> Iterable[Candidate]:
        return [_candidate(task, stored) for stored in await run.traces.versions(goal_signature(task.goal))]


def _candidate(task: Task, stored: StoredTrace) -> Candidate:
    same = stored.trace is not None and canonical_goal(stored.trace.goal_text) == canonical_goal(task.goal)
    refused = stored.refusal
    if refused is None and not same:
        refused = "the goal's text differs"
    if refused is None and task.version not in (None, stored.version):
        refused = "another version was asked for"
    return Candidate(trace_id=stored.trace_id, version=stored.version, score=1.0 if same else 0.0, refused=refused)

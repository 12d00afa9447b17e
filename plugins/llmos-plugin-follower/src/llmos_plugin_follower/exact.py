"""The exact matcher: a trace fits a goal whose canonical text is the same, and no other."""

from __future__ import annotations

import json
from collections.abc import Iterable

from llmos_core import Candidate, Run, StoredTrace, Task, Trace, canonical_goal, goal_signature, same_constraints


class ExactMatcher:
    """Proposes the versions kept under the goal's own signature, newest first."""

    name = "exact"

    async def propose(self, task: Task, run: Run) -> Iterable[Candidate]:
        return [_candidate(task, stored, run) for stored in await run.traces.versions(goal_signature(task.goal))]


def _other_program(task: Task, trace: Trace) -> str | None:
    """Why a trace of the same goal is none for this task: what else it was given differs."""
    if _text(trace.inputs) != _text(task.inputs):
        return "it was learned with other inputs"
    if not same_constraints(trace.constraints, task.constraints):
        return "it was learned under other constraints"
    if set(trace.env) != set(task.env):
        return "it was learned with other environment variables"
    return None


def _text(inputs: object) -> str:
    """Inputs as text that tells 1 from true, and from 1.0; Python takes them for the same."""
    return json.dumps(inputs, sort_keys=True)


def _candidate(task: Task, stored: StoredTrace, run: Run) -> Candidate:
    same = stored.trace is not None and canonical_goal(stored.trace.goal_text) == canonical_goal(task.goal)
    refused = stored.refusal
    if refused is None and not same:
        refused = "the goal's text differs"
    if refused is None and stored.trace is not None:
        refused = _other_program(task, stored.trace)
    if refused is None and task.version not in (None, stored.version):
        refused = "another version was asked for"
    return Candidate(
        trace_id=stored.trace_id,
        version=stored.version,
        score=1.0 if same else 0.0,
        refused=refused,
        missing=stored.trace.missing(run.tools) if stored.trace else None,
        foreign=stored.foreign,
    )

"""A matcher that finds traces whose goal differs in letter case only.

A matcher proposes, with a score; ``refused`` says why a trace must not be followed. What else belongs to the task must
be the same: its inputs, constraints and variables, and the version that was asked for, if one was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from llmos_core import Candidate, Matcher, Run, StoredTrace, Task, Trace, canonical_goal, hookimpl, same_constraints


class CaselessMatcher:
    name = "caseless"

    async def propose(self, task: Task, run: Run) -> Iterable[Candidate]:
        wanted = canonical_goal(task.goal).casefold()
        return [
            Candidate(
                trace_id=stored.trace_id,
                version=stored.version,
                score=0.95,
                foreign=stored.foreign,
                refused=stored.refusal or _other_program(task, stored.trace) or _other_version(task, stored),
            )
            async for stored in run.traces.scan()
            if stored.trace and canonical_goal(stored.trace.goal_text).casefold() == wanted
        ]


def _other_program(task: Task, trace: Trace) -> str | None:
    if json.dumps(trace.inputs, sort_keys=True) != json.dumps(task.inputs, sort_keys=True):
        return "it was learned with other inputs"
    if not same_constraints(trace.constraints, task.constraints):
        return "it was learned under other constraints"
    return None if set(trace.env) == set(task.env) else "it was learned with other variables"


def _other_version(task: Task, stored: StoredTrace) -> str | None:
    return None if task.version in (None, stored.version) else "another version was asked for"


@hookimpl
def llmos_matchers() -> Iterable[Matcher]:
    return [CaselessMatcher()]

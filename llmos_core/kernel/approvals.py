"""Calls that the guards leave to people: who is asked, what is kept of the answers, and how a run without one ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from llmos_core.errors import ApprovalError
from llmos_core.events import ToolApproved
from llmos_core.kernel.hooks import first_answer
from llmos_core.records import ToolCall, Verdict
from llmos_core.trace.binding import Abstraction

if TYPE_CHECKING:
    from llmos_core.kernel.run import KernelRun


def exact_call(call: ToolCall, workdir: Path) -> str:
    """The tool and all arguments of a call as one text: where it is the same, so is the call.

    The working directory is a slot in it, so that a copy of a run makes the same calls as the run.
    """
    text = json.dumps([call.tool, call.input], sort_keys=True, ensure_ascii=False)
    within = Path(json.dumps(str(workdir), ensure_ascii=False)[1:-1])  # as the text holds it
    slots = Abstraction.of({"workdir": within}, [text])
    exact = slots.abstract(text)
    return " ".join([*(slot.name for slot in slots.parameters), exact])  # a text may hold the name of a slot by itself


async def approve(run: KernelRun, call: ToolCall, verdict: Verdict, *, ahead: bool = False) -> Verdict:
    """What becomes of a call that the guards say Ask to: allow or deny; still ask, where nobody answered.

    About a call that was approved ``ahead`` of its time nobody is asked again when it comes, and about one that was
    approved in a run, nobody in copies of the run.
    """
    exact = exact_call(call, run.workdir)
    allowed = Verdict.allow(verdict.reason, verdict.rule)
    if run.ahead[exact] and not ahead:
        run.ahead[exact] -= 1
        return allowed
    by = run.approved.get(exact) if run.is_copy else None
    if by is None:
        approvers = (*run.machine.hooks["llmos_approve"], *run.asked)
        answer = await first_answer(approvers, call, {"verdict": verdict, "run": run}, run.warn)
        if answer is None:
            if not ahead:
                halt(run, call, verdict)
            return verdict
        yes, by = answer
        if not yes:
            return Verdict.deny(f"not approved: {verdict.reason}", verdict.rule)
        run.approved[exact] = by
        run.ahead[exact] += ahead
    run.emit(ToolApproved(call=call, verdict=verdict, by=by))
    return allowed


def halt(run: KernelRun, call: ToolCall, verdict: Verdict) -> None:
    """End a run, since nobody answered: its strategy, if that is at work, is cancelled, and both doors are closed."""
    if run.scope is not None and run.halted is None:
        why = " ".join([*verdict.reason.split(), *([f"(rule {verdict.rule})"] if verdict.rule else [])])
        fix = f"See the call and approve it: llmos approve {run.id}"
        run.halted = ApprovalError(f"{call.tool} needs approval, and nobody answered.", why, fix)
        run.scope.cancel()

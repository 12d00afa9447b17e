"""The tool door: guards -> people, if they must be asked -> journal START -> execute -> journal END -> observers.

No other code runs a tool.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio
from pydantic import BaseModel, ValidationError

from llmos_core.contracts import Tool
from llmos_core.errors import UsageError, describe
from llmos_core.events import Notice, ToolDenied, ToolOutput, ToolStarted
from llmos_core.kernel.approvals import approve, halt
from llmos_core.kernel.hooks import is_fault, judge, observe
from llmos_core.records import Effect, ToolCall, ToolResult, Verdict

if TYPE_CHECKING:
    from llmos_core.kernel.run import KernelRun


async def call_tool(run: KernelRun, call: ToolCall) -> ToolResult:
    """Pass one call through the door. Refused and failed calls come back as results with ``is_error``."""
    if call.id in run.calling:
        return _refuse(run, call, Verdict.deny(f"a call with the id {call.id} is under way", rule="repeated-id"))
    run.calling.add(call.id)
    try:
        return await _admit(run, call)
    finally:
        run.calling.remove(call.id)


async def _admit(run: KernelRun, call: ToolCall) -> ToolResult:
    call, ready = _checked(run, call)
    if isinstance(ready, Verdict):
        return _refuse(run, call, ready)
    tool, input, effect = ready
    verdict = await judge_call(run, call)
    if verdict.decision != "allow":
        return _refuse(run, call, verdict)
    started = await _start(run, call, effect, verdict)
    return await _end(run, call, await _run(run, call, tool, input), started)


def _checked(run: KernelRun, call: ToolCall) -> tuple[ToolCall, tuple[Tool, BaseModel, Effect] | Verdict]:
    """What a call needs to run, or why no guard need look at it; and the call, without what could not be written."""
    tool = run.machine.tools[call.tool] if call.tool in run.tools else None
    if forbidden := _forbidden(run, call, tool):
        return call, forbidden
    if tool is None:
        known = ", ".join(run.tools) or "none"
        return call, Verdict.deny(f"no tool named {call.tool} (there are: {known})", rule="unknown-tool")
    try:
        input = tool.input_model.model_validate(call.input)
        json.dumps(call.input, ensure_ascii=False).encode()
    except ValidationError as error:
        return call, Verdict.deny(_explain(call.tool, error), rule="invalid-input")
    except UnicodeEncodeError:
        call = call.model_copy(update={"input": {}})
        return call, Verdict.deny("the input is no valid Unicode text", rule="invalid-input")
    effect = _effect(tool, input)
    if run.task.permission_mode == "plan" and effect != "pure":
        return call, Verdict.deny("the run may plan only, and change nothing", rule="plan")
    return call, (tool, input, effect)


async def begin_native(run: KernelRun, call: ToolCall) -> Verdict:
    """The first half of the door, for a call that something else executes; a refusal is told as an event."""
    if call.id in run.natives:
        verdict = Verdict.deny(f"a call with the id {call.id} is under way", rule="repeated-id")
    else:
        verdict = _forbidden(run, call, None) or await judge_call(run, call)
    if verdict.decision != "allow":
        _refuse(run, call, verdict)
        return verdict
    run.natives[call.id] = call, await _start(run, call, "external", verdict, native=True)
    return verdict


async def end_native(run: KernelRun, call_id: str, result: ToolResult) -> None:
    """The second half: the result of a call that was begun. Raises UsageError for one that was not, or has ended."""
    if call_id not in run.natives:
        raise UsageError(f"No call with the id {call_id} was begun.", "Only what was begun can end, and only once.")
    call, started = run.natives.pop(call_id)
    await _end(run, call, _redacted(run, result), started)


async def foresee(run: KernelRun, calls: Sequence[ToolCall]) -> Sequence[Verdict]:
    """What becomes of calls that are to come; where one is denied or unanswered, that is told as an event."""
    verdicts = [await _foreseen(run, call) for call in calls]
    denied = any(verdict.decision == "deny" for verdict in verdicts)
    for number, verdict in enumerate(verdicts):
        if verdict.decision == "ask" and not denied:
            verdicts[number] = await approve(run, calls[number], verdict, ahead=True)
            denied = verdicts[number].decision == "deny"
    for call, verdict in zip(calls, verdicts, strict=True):
        if verdict.decision == ("deny" if denied else "ask"):
            _refuse(run, call, verdict)
            if not denied:
                halt(run, call, verdict)
    return verdicts


async def _foreseen(run: KernelRun, call: ToolCall) -> Verdict:
    call, ready = _checked(run, call)
    return ready if isinstance(ready, Verdict) else await _guarded(run, call)


def _forbidden(run: KernelRun, call: ToolCall, tool: Tool | None) -> Verdict | None:
    if run.halted:
        return Verdict.deny("the run is ending", rule="halted")
    if tool is None and not run.rules.admits(call.tool):
        return Verdict.deny(f"the constraints of this task forbid {call.tool}", rule="constraint")
    return None


async def judge_call(run: KernelRun, call: ToolCall) -> Verdict:
    """What the guards say of a call, and where that is Ask, people; it stays Ask where nobody answered."""
    verdict = await _guarded(run, call)
    return await approve(run, call, verdict) if verdict.decision == "ask" else verdict


async def _guarded(run: KernelRun, call: ToolCall) -> Verdict:
    hooks = run.machine.hooks["llmos_pre_tool_use"]
    if hooks:
        # Guards judge and change nothing: validation makes them a copy of their own, to the last list.
        call = ToolCall(id=call.id, tool=call.tool, input=call.input, agent_id=call.agent_id)
    return await judge(hooks, {"call": call, "run": run}, run.machine.limits.guard_timeout_s)


async def _start(run: KernelRun, call: ToolCall, effect: Effect, verdict: Verdict, *, native: bool = False) -> float:
    """Write down that the call starts; gives the time."""
    if effect != "pure":
        await run.start_state()
    run.emit(ToolStarted(call=call, effect=effect, native=native, verdict=verdict if verdict.rule else None))
    if effect == "external":
        await run.journal.sync()
    return anyio.current_time()


async def _end(run: KernelRun, call: ToolCall, result: ToolResult, started: float) -> ToolResult:
    """Write down that it ended, and tell the observers."""
    run.emit(
        ToolOutput(call_id=call.id, tool=call.tool, result=result, duration_s=round(anyio.current_time() - started, 6))
    )
    hooks = run.machine.hooks["llmos_post_tool_use"]
    if hooks:
        arguments = {"call": call, "result": result, "run": run}
        await observe(hooks, arguments, run.machine.limits.observer_timeout_s, run.warn)
    return result


async def _run(run: KernelRun, call: ToolCall, tool: Tool, input: BaseModel) -> ToolResult:
    try:
        result = await tool.run(input, run.of_agent(call.agent_id))
    except BaseException as error:  # a tool's fault is an error result, and is reported
        if not is_fault(error):
            raise
        run.emit(Notice(level="error", text=f"The tool {call.tool} failed by its own fault ({describe(error)})."))
        return ToolResult(output=f"The tool {call.tool} failed: {describe(error)}", is_error=True)
    if not isinstance(result, ToolResult):
        run.emit(Notice(level="error", text=f"The tool {call.tool} gave {type(result).__name__}, not a ToolResult."))
        return ToolResult(output=f"The tool {call.tool} gave no usable result.", is_error=True)
    return _redacted(run, result)


def _redacted(run: KernelRun, result: ToolResult) -> ToolResult:
    text = run.machine.redact(result.output.encode("utf-8", "replace").decode())
    return result if text == result.output else result.model_copy(update={"output": text})


def _effect(tool: Tool, input: BaseModel) -> Effect:
    try:
        return tool.effect(input)
    except (Exception, SystemExit):  # noqa: BLE001 - what cannot say its effect may do anything
        return "external"


def _refuse(run: KernelRun, call: ToolCall, verdict: Verdict) -> ToolResult:
    run.emit(ToolDenied(call=call, verdict=verdict))
    need = "needs approval" if verdict.decision == "ask" else "was refused"
    return ToolResult(
        output=f"{call.tool} {need}: {verdict.reason}",
        is_error=True,
        data={"denied": verdict.decision, "reason": verdict.reason, "rule": verdict.rule},
    )


def _explain(tool: str, error: ValidationError) -> str:
    problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'input'}: {e['msg']}" for e in error.errors())
    return f"the input does not fit {tool}: {problems}"

"""The interpreter: runs the steps of a trace and stops where the world differs from the recorded one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Annotated, Literal, Protocol

from pydantic import Field

from llmos_core.errors import DeniedError
from llmos_core.records import Record, ToolCall, ToolResult, Verdict
from llmos_core.trace.binding import bind, check_values
from llmos_core.trace.markdown import status
from llmos_core.trace.record import Step, StepResult, Trace
from llmos_core.trace.scalars import shown, visible

_LONGEST_TEXT = 2_000
_LONGEST_DIFF = 40


class Caller(Protocol):
    """Whatever runs tool calls: a Run."""

    async def call(self, call: ToolCall) -> ToolResult: ...


class Judge(Protocol):
    """Whatever judges calls that are to come: a Run."""

    async def foresee(self, calls: Sequence[ToolCall]) -> Sequence[Verdict]: ...


class Divergence(Record):
    """The first difference between a replay and its trace, at ``step`` (from 1).

    ``expected`` and ``got`` are outputs, with the status before them where that differs; of long ones, the part
    around the first difference.
    """

    step: int
    title: str
    tool: str
    what: Literal["output", "exit code", "error"]
    expected: Annotated[str, Field(max_length=_LONGEST_TEXT)]
    got: Annotated[str, Field(max_length=_LONGEST_TEXT)]

    def message(self) -> str:
        """One readable line: where the first lines that differ do so."""
        lines = zip_longest(self.expected.split("\n"), self.got.split("\n"))
        expected, got = next((pair for pair in lines if pair[0] != pair[1]), (None, None))
        if expected is not None and got is not None:
            expected, got = _excerpts(expected, got, 80)
        return (
            f"step {self.step} ({shown(self.title)}) differs in its {self.what}: "
            f"expected {_quoted(expected)}, got {_quoted(got)}."
        )

    def diff(self) -> str:
        """A unified diff of both texts, at most 40 lines."""
        from difflib import unified_diff

        lines = list(unified_diff(self.expected.split("\n"), self.got.split("\n"), "recorded", "now", lineterm="", n=2))
        if len(lines) > _LONGEST_DIFF:
            lines[_LONGEST_DIFF - 1 :] = ["…"]
        return "\n".join(map(visible, lines))


class Replayed(Record):
    """How a replay ended: the number of steps that ran and agreed, and the difference that stopped it."""

    steps: int
    divergence: Divergence | None = None

    @property
    def ok(self) -> bool:
        return self.divergence is None


async def preflight(trace: Trace, values: Mapping[str, str], judge: Judge) -> None:
    """Have all calls of a replay judged before the first is made.

    Raises DeniedError where the guards forbid one or a person said no, TraceError as :func:`replay` does.
    """
    check_values(trace, values)
    calls = list(_calls(trace, values))
    for step, call, verdict in zip(trace.steps, calls, await judge.foresee(calls), strict=True):
        if verdict.decision != "allow":
            rule = f" (rule {verdict.rule})" if verdict.rule else ""
            raise DeniedError(
                f"The trace was not replayed: {call.id} ({step.title}) is refused now.",
                f"{verdict.reason}{rule}. Nothing was changed.",
                "Allow it, or learn the goal anew: add --mode learner.",
            )


def _calls(trace: Trace, values: Mapping[str, str]) -> Iterator[ToolCall]:
    for number, step in enumerate(trace.steps, 1):
        input = bind(step.arguments, values)
        yield ToolCall(id=f"step-{number}", tool=step.tool, input=input, agent_id=step.agent)


async def replay(
    trace: Trace,
    values: Mapping[str, str],
    caller: Caller,
    *,
    before_step: Callable[[int, Step], Awaitable[None]] | None = None,
) -> Replayed:
    """Run the steps in order, with their slots bound to ``values``, until one gives something other than recorded.

    ``before_step`` is awaited with each step's number (from 1) and its recorded form before it runs. Raises TraceError
    if a value is missing, or would not be safe within a command; what the caller raises passes through.
    """
    check_values(trace, values)
    for number, (step, call) in enumerate(zip(trace.steps, _calls(trace, values), strict=True), 1):
        if before_step is not None:
            await before_step(number, step)
        result = await caller.call(call)
        recorded = step.result
        expected = bind(recorded.output, values)
        if result.output != expected or result.exit_code != recorded.exit_code or result.is_error != recorded.is_error:
            return Replayed(steps=number - 1, divergence=_divergence(number, step, expected, result))
    return Replayed(steps=len(trace.steps))


def _divergence(number: int, step: Step, expected: str, result: ToolResult) -> Divergence:
    recorded, got = step.result, result.output
    what: Literal["output", "exit code", "error"] = "output"
    if result.is_error != recorded.is_error:
        what = "error"
    elif result.exit_code != recorded.exit_code:
        what = "exit code"
    if what != "output":
        expected = f"{_status(recorded)}: {expected}"
        got = f"{_status(result)}: {got}"
    expected, got = _excerpts(expected, got, _LONGEST_TEXT)
    return Divergence(step=number, title=step.title, tool=step.tool, what=what, expected=expected, got=got)


def _status(result: StepResult | ToolResult) -> str:
    return status(result.is_error, result.exit_code)


def _quoted(line: str | None) -> str:
    return "no more lines" if line is None else shown(line)


def _excerpts(first: str, second: str, limit: int) -> tuple[str, str]:
    """Both texts, or where one is too long the same stretch of both, from shortly before they begin to differ."""
    if max(len(first), len(second)) <= limit:
        return first, second
    shorter = min(len(first), len(second))
    differ = next((at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), shorter)
    start = max(0, differ - limit // 4)
    end = start + limit - 2

    def cut(text: str) -> str:
        return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")

    return cut(first), cut(second)

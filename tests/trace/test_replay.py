"""Steps run in order with bound values; the first difference stops the replay and is told."""

from __future__ import annotations

from typing import Any

import pytest

from llmos_core.errors import TraceError
from llmos_core.records import ToolCall, ToolResult
from llmos_core.trace.record import Step, StepResult, Trace
from llmos_core.trace.replay import Divergence, Replayed, replay

VALUES = {"workdir": "/new/w"}
WROTE = ToolResult(output="File created successfully at: /new/w/primes.py")
RAN = ToolResult(output="[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]", exit_code=0, data={"anything": 1})


class Script:
    """A caller that answers from a list."""

    def __init__(self, *results: ToolResult) -> None:
        self.results = list(results)
        self.calls: list[ToolCall] = []

    async def call(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        return self.results.pop(0)


async def test_all_steps_agree(primes: Trace) -> None:
    caller = Script(WROTE, RAN)
    replayed = await replay(primes, VALUES, caller)
    assert replayed == Replayed(steps=2)
    assert replayed.ok
    assert [call.id for call in caller.calls] == ["step-1", "step-2"]
    assert [call.tool for call in caller.calls] == ["Write", "Bash"]
    assert caller.calls[0].input["file_path"] == "/new/w/primes.py"
    assert caller.calls[1].input == {"command": "python primes.py", "timeout": 5000}


@pytest.mark.parametrize(
    ("result", "what", "expected", "got"),
    [
        (RAN.model_copy(update={"output": "[2]"}), "output", RAN.output, "[2]"),
        (RAN.model_copy(update={"exit_code": 1}), "exit code", f"exit 0: {RAN.output}", f"exit 1: {RAN.output}"),
        (RAN.model_copy(update={"exit_code": None}), "exit code", f"exit 0: {RAN.output}", f"ok: {RAN.output}"),
        (ToolResult(output="no", is_error=True, exit_code=0), "error", f"exit 0: {RAN.output}", "error, exit 0: no"),
        (ToolResult(output="denied", is_error=True), "error", f"exit 0: {RAN.output}", "error: denied"),
    ],
)
async def test_any_difference_stops(primes: Trace, result: ToolResult, what: str, expected: str, got: str) -> None:
    trace = primes.model_copy(update={"steps": (*primes.steps, primes.steps[0])})
    caller = Script(WROTE, result, WROTE)
    replayed = await replay(trace, VALUES, caller)
    assert not replayed.ok
    assert replayed.steps == 1
    assert replayed.divergence == Divergence(
        step=2, title="Test script", tool="Bash", what=what, expected=expected, got=got
    )  # fmt: skip
    assert len(caller.calls) == 2


async def test_a_recorded_error_is_expected(primes: Trace) -> None:
    step = Step(title="t", tool="Read", effect="pure", result=StepResult(output="File does not exist.", is_error=True))
    trace = primes.model_copy(update={"steps": (step,)})
    assert (await replay(trace, VALUES, Script(ToolResult(output="File does not exist.", is_error=True)))).ok
    assert not (await replay(trace, VALUES, Script(ToolResult(output="File does not exist.")))).ok


async def test_the_first_step_can_differ(primes: Trace) -> None:
    replayed = await replay(primes, VALUES, Script(ToolResult(output="File created successfully at: /old/primes.py")))
    assert replayed.steps == 0
    assert replayed.divergence is not None
    assert replayed.divergence.step == 1
    assert replayed.divergence.expected == "File created successfully at: /new/w/primes.py"


async def test_a_slot_without_a_value_never_reaches_a_tool(primes: Trace) -> None:
    caller = Script(WROTE, RAN)
    with pytest.raises(TraceError, match="cannot be replayed") as caught:
        await replay(primes, {"other": "x"}, caller)
    assert "workdir" in caught.value.why
    assert not caller.calls


async def test_any_path_will_do_where_no_command_holds_it(primes: Trace) -> None:
    wrote = ToolResult(output="File created successfully at: /new w/primes.py")
    assert (await replay(primes, {"workdir": "/new w"}, Script(wrote, RAN))).ok


async def test_a_step_of_a_sub_agent_is_called_as_one(primes: Trace) -> None:
    trace = primes.model_copy(update={"steps": (primes.steps[0], primes.steps[1].model_copy(update={"agent": "a1"}))})
    caller = Script(WROTE, RAN)
    assert (await replay(trace, VALUES, caller)).ok
    assert [call.agent_id for call in caller.calls] == [None, "a1"]


async def test_before_each_step(primes: Trace) -> None:
    seen: list[Any] = []
    caller = Script(WROTE, ToolResult(output="other"))

    async def before(number: int, step: Step) -> None:
        seen.append((number, step.title, len(caller.calls)))

    await replay(primes, VALUES, caller, before_step=before)
    assert seen == [(1, "Write primes.py", 0), (2, "Test script", 1)]


async def test_a_caller_cannot_change_the_trace(primes: Trace) -> None:
    class Spoiler:
        async def call(self, call: ToolCall) -> ToolResult:
            call.input["command"] = "rm -r /"
            return RAN

    trace = primes.model_copy(update={"steps": primes.steps[1:], "parameters": ()})
    before = trace.model_dump_json()
    await replay(trace, {}, Spoiler())
    assert trace.model_dump_json() == before


async def test_what_the_caller_raises_passes_through(primes: Trace) -> None:
    with pytest.raises(IndexError):
        await replay(primes, VALUES, Script())


def divergence(expected: str, got: str, what: str = "output", title: str = "Run", tool: str = "Bash") -> Divergence:
    return Divergence.model_validate(
        {"step": 3, "title": title, "tool": tool, "what": what, "expected": expected, "got": got}
    )


def test_the_message_shows_the_first_line_that_differs() -> None:
    differs = 'step 3 ("Run") differs in its output: expected '
    assert divergence("a\nb\nc", "a\nB\nC").message() == differs + '"b", got "B".'
    assert divergence("a", "a\n").message() == differs + 'no more lines, got "".'
    assert divergence("a\nb", "a").message() == differs + '"b", got no more lines.'
    assert divergence("x" * 500 + "a", "x" * 500 + "b").message().endswith('xxxa", got "…' + "x" * 20 + 'b".')
    hostile = divergence("x" * 500, "\x1b[2J\r" + "y" * 500, "error", "t\x1b\n" * 100, "\n" * 99).message()
    assert hostile.isprintable()
    assert len(hostile) < 800


def test_the_diff_is_short_and_fit_for_a_terminal() -> None:
    assert divergence("a\nb\nc", "a\nB\nc").diff() == "--- recorded\n+++ now\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c"
    long = divergence("\n".join("a" * 5), "\n".join("bcdefghij" * 90)).diff().split("\n")
    assert len(long) == 40
    assert long[-1] == "…"
    assert "\x1b" not in divergence("a", "\x1b[2J").diff()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x" * 9_000 + "a" + "y" * 9_000, "x" * 9_000 + "b" + "y" * 9_000),
        ("x" * 9_000, "x" * 3_000),
        ("a", "b" * 9_000),
    ],
)
async def test_long_texts_are_cut_around_the_difference(primes: Trace, first: str, second: str) -> None:
    step = Step(title="t", tool="T", effect="pure", result=StepResult(output=first))
    trace = primes.model_copy(update={"steps": (step,)})
    found = (await replay(trace, VALUES, Script(ToolResult(output=second)))).divergence
    assert found is not None
    assert found.expected != found.got
    assert len(found.expected) <= 2_000
    assert len(found.got) <= 2_000
    assert found.message().isprintable()

"""Constraints: what is enforced, what is left to the model, and what is refused for being neither."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import LLMOS, Outcome, Run, Task, UsageError, same_constraints
from llmos_core.constraints import Rules, read_constraints
from tests.parts import Echo, Parts, Script, call

TOOLS = ("Read", "Write", "Bash", "Grep")


def read(*constraints: str) -> Rules:
    return read_constraints(constraints, TOOLS)


@pytest.mark.parametrize(
    ("constraint", "usd"),
    [
        ("Max cost $0.10", 0.10),
        ("max cost: $0.10.", 0.10),
        ("Maximum cost of $ 2", 2),
        ("Cost at most 50 cents", 0.5),
        ("Spend no more than $1", 1),
        ("Spend less than 5 dollars", 5),
        ("Budget: 3 USD", 3),
        ("Cost limit $.05", 0.05),
        ("  Max   $1  in all ", 1),
        ("at most $1.50 total", 1.5),
        ("$2", 2),
        ("$0.10 max", 0.1),
        ("up to 1 cent", 0.01),
    ],
)
def test_limits_of_cost(constraint: str, usd: float) -> None:
    assert read(constraint) == Rules(max_cost_usd=pytest.approx(usd))


@pytest.mark.parametrize(
    ("constraint", "seconds"),
    [
        ("Max 60 seconds", 60),
        ("Max. 60 s", 60),
        ("Time limit: 2 minutes", 120),
        ("At most 1.5 h", 5400),
        ("within 10min", 600),
        ("Timeout 30s", 30),
        ("Deadline: 1 hour", 3600),
        ("30 seconds or less", 30),
    ],
)
def test_limits_of_time(constraint: str, seconds: float) -> None:
    assert read(constraint) == Rules(timeout_s=seconds)


@pytest.mark.parametrize(
    ("constraint", "turns"),
    [("Max 5 turns", 5), ("max turns: 5", 5), ("turns: 7", 7), ("At most 1 turn!", 1), ("5 turns max", 5)],
)
def test_limits_of_turns(constraint: str, turns: int) -> None:
    assert read(constraint) == Rules(max_turns=turns)


@pytest.mark.parametrize(
    ("constraint", "tools"),
    [
        ("Only tools: Read, Grep", {"Read", "Grep"}),
        ("only tools read and grep", {"Read", "Grep"}),
        ("Allowed tools: `Read`", {"Read"}),
        ("Only allowed tools are: Read", {"Read"}),
        ("Tools: Read, Write and Bash", {"Read", "Write", "Bash"}),
        ("Use only Read, Write, and Grep.", {"Read", "Write", "Grep"}),
        ("Only use the tools Read or Grep", {"Read", "Grep"}),
        ("Use only the Read tool", {"Read"}),
        ("No tools", set()),
        ("Do not use any tools!", set()),
    ],
)
def test_tools_that_alone_are_allowed(constraint: str, tools: set[str]) -> None:
    rules = read(constraint)
    assert rules == Rules(allowed_tools=frozenset(tools))
    assert [tool for tool in TOOLS if rules.admits(tool)] == [tool for tool in TOOLS if tool in tools]


@pytest.mark.parametrize(
    ("constraint", "tools"),
    [
        ("No Bash", {"Bash"}),
        ("no bash", {"Bash"}),
        ("No Bash tool", {"Bash"}),
        ("No tools: Bash, Write", {"Bash", "Write"}),
        ("Never use Bash", {"Bash"}),
        ("Don't use the tool Write", {"Write"}),
        ("Do not use Bash or Write.", {"Bash", "Write"}),
        ("Without Bash and 'Write'", {"Bash", "Write"}),
        ("Forbidden tools: Bash", {"Bash"}),
        ("Forbid Bash", {"Bash"}),
    ],
)
def test_tools_that_are_forbidden(constraint: str, tools: set[str]) -> None:
    rules = read(constraint)
    assert rules == Rules(forbidden_tools=frozenset(tools))
    assert not any(rules.admits(tool) for tool in tools)
    assert rules.admits("Read")


@pytest.mark.parametrize(
    "constraint",
    [
        "Must be Python",
        "Only use Python",
        "Use only the standard library",
        "Use only Read or a browser",
        "No Bash scripts",
        "No Read or Write errors may be ignored",
        "Do not use Bash-isms in scripts",
        "Limit the table to 10 rows",
        "Max 10 rows",
        "At most 3 files",
        "Only list items that cost more than $5",
        "Only data of the last 24 hours",
        "Write at most 500 words",
        "Turn the table by 90 degrees",
        "The cost column is in dollars",
        "Time zones are kept",
        "Timeouts must be tested",
        "Under no circumstances delete files",
        "Max length 80 characters",
        "Answer in German",
        "日本語で答える",
        "No comments",
        "Do not spend more than a dollar",
        "Finish in under 5 minutes please",
    ],
)
def test_near_misses_are_for_the_model_alone(constraint: str) -> None:
    assert read(constraint) == Rules(told=(constraint,))


@pytest.mark.parametrize(
    "constraint",
    [
        "Max cost ten dollars",
        "Max cost $1,000",
        "Max $5 per day",
        "Max 10 EUR",
        "max 1,000 dollars",
        "Under €5",
        "Budget: a dollar",
        "Max total cost is $1",
        "Max cost $0.00000001",
        "Max 60 seconds per file",
        "Max time one minute",
        "Timeout: soon",
        "Max turns: five",
        "Max 5 turns per agent",
        "max 1,000 turns",
    ],
)
def test_what_begins_like_a_limit_must_be_one(constraint: str) -> None:
    with pytest.raises(UsageError, match="is not understood") as caught:
        read(constraint)
    assert "Max cost $0.10" in caught.value.fix


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ("Only tools: Read, Reed", "names the tool Reed, which is not there"),
        ("Forbidden tools: Bahs", "names the tool Bahs"),
        ("Max cost $0", "leaves nothing to run with"),
        ("Max 0 turns", "leaves nothing"),
        ("0.0 seconds", "leaves nothing"),
        ("", "is empty"),
        (" \n. ", "is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(constraint: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read("No Bash", constraint)


def test_the_narrowest_of_several_holds() -> None:
    rules = read("Max $3", "Max $1", "Max 60 s", "Max 2 minutes", "Only tools: Read, Bash", "Only tools: Bash, Grep")
    assert rules == Rules(max_cost_usd=1, timeout_s=60, allowed_tools=frozenset({"Bash"}))
    given = Task(goal="x", max_cost_usd=0.5, timeout_s=90, max_turns=3)
    applied = rules.applied(given)
    assert (applied.max_cost_usd, applied.timeout_s, applied.max_turns) == (0.5, 60, 3)
    assert Rules().applied(given) == given


def test_what_is_forbidden_without_is_forbidden_within() -> None:
    inner = read("Only tools: Read, Bash").within(read("No Bash", "Only tools: Read, Bash, Grep", "Max $1"))
    assert inner == Rules(allowed_tools=frozenset({"Read", "Bash"}), forbidden_tools=frozenset({"Bash"}))
    assert [tool for tool in TOOLS if inner.admits(tool)] == ["Read"]


VOCABULARY = """
    max at most no more than less cost spend budget time timeout turns turn limit under of $ $1 1 0.10 .5 60 5,000 usd
    cents s seconds min h only use tools allowed forbidden do not don't never without bash read and or , : . ! in all
    total \u0663 \uff11 \u0130 \xdf
"""
WORDS = st.sampled_from(VOCABULARY.split())


@given(st.text(max_size=60) | st.lists(WORDS, max_size=9).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        rules = read(text)
    except UsageError:
        return
    assert rules.max_cost_usd is None or rules.max_cost_usd > 0
    assert rules.timeout_s is None or rules.timeout_s > 0
    assert read(f"  {text}. ") == rules


HOSTILE = """
from llmos_core import UsageError
from llmos_core.constraints import read_constraints
parts = "max |1|1,|$|no |must |a, |and |use only | |cost 1 |tools|take 1|spend |.|timeout 1| 1 s ".split("|")
for beginning in ("", "max ", "no ", "take ", "use only ", "only tools: ", "must cost "):
    for part in parts:
        try:
            read_constraints([beginning + part * 20_000 + "x"], ["Read"])
        except UsageError:
            pass
"""


def test_hostile_text_is_read_like_any_other() -> None:
    """It takes a second; where a pattern looked back for every character, it would not end."""
    subprocess.run([sys.executable, "-c", HOSTILE], check=True, timeout=120)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((), (), True),
        (("No Bash.",), (" No  Bash",), True),
        (("a", "b", "a"), ("b", "a"), True),
        (("No Bash",), (), False),
        (("Max $1",), ("Max $2",), False),
        (("must be Python",), ("must be python",), False),
    ],
)
def test_lists_that_say_the_same(one: Any, other: Any, same: bool) -> None:
    assert same_constraints(one, other) is same


async def run_with(*constraints: str, **fields: Any) -> tuple[Outcome, Echo]:
    echo = Echo()

    async def act(run: Run) -> str:
        return f"{sorted(run.tools)} {(await run.call(call())).output}"

    async with LLMOS.in_memory({"parts": Parts(tools=[echo], strategies=[Script(act)])}) as system:
        return await system.execute("go", constraints=constraints, **fields), echo


async def test_a_forbidden_tool_is_not_there_and_not_run() -> None:
    for constraint in ("No Echo", "No tools", "Forbidden tools: Echo"):
        outcome, echo = await run_with(constraint)
        assert outcome.output == "[] Echo was refused: the constraints of this task forbid Echo"
        assert echo.ran == []
    outcome, echo = await run_with("Use only Echo")
    assert outcome.output == "['Echo'] hello"


async def test_a_task_with_a_constraint_that_is_not_understood_does_not_begin() -> None:
    with pytest.raises(UsageError, match="is not understood"):
        await run_with("Max cost a lot")

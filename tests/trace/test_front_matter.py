"""Inputs, constraints and names of variables in the front matter: any JSON there and back, and clear errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_core.errors import TraceError
from llmos_core.trace.markdown import parse_trace, render_trace
from llmos_core.trace.record import Trace
from tests.trace.conftest import primes_trace
from tests.trace.test_markdown import texts, values

GOLDEN = (Path(__file__).with_name("golden") / "primes.md").read_text()
NAMES = st.sampled_from(["region", "name", "value", "json", "---", "- name: x", "<<", "inputs", "", "a: b", "no", "1"])


@given(
    st.dictionaries(NAMES | texts, values, max_size=4),
    st.lists(texts, max_size=3),
    st.lists(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,5}\Z") | texts, max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_any_inputs_come_back_exactly(
    inputs: dict[str, Any], constraints: tuple[str, ...], env: tuple[str, ...]
) -> None:
    trace = primes_trace(inputs=inputs, constraints=constraints, env=env)
    written = render_trace(trace)
    read = parse_trace(written)
    assert read == trace
    assert json.dumps(read.inputs) == json.dumps(inputs)  # 1, 1.0, true and -0.0 differ here, and the order counts
    assert render_trace(read) == written
    assert read.verified == trace.verified


def test_how_they_look() -> None:
    inputs = {"region": "EU", "years": [2024, 2025], "odd: name": None, "limit": 10, "code": "007", "share": 1e-7}
    trace = primes_trace(inputs=inputs, constraints=("Max cost $0.10", "Must be Python"), env=("KEY",))
    lines = render_trace(trace).split("\n")
    at = lines.index("inputs:")
    assert lines[at : at + 18] == [
        "inputs:",
        "  - name: region",
        "    value: EU",
        "  - name: years",
        '    json: "[2024, 2025]"',
        '  - name: "odd: name"',
        "    value: null",
        "  - name: limit",
        "    value: 10",
        "  - name: code",
        '    value: "007"',
        "  - name: share",
        "    value: 1.0e-07",
        "constraints:",
        "  - Max cost $0.10",
        "  - Must be Python",
        "env:",
        "  - KEY",
    ]


def test_a_trace_without_them_is_written_as_before(primes: Trace, golden: Path) -> None:
    written = render_trace(primes)
    assert written == golden.read_text()
    for name in ("inputs", "constraints", "env"):
        assert f"\n{name}:" not in written
    assert parse_trace(written).inputs == {}


def edited(front: str) -> str:
    """The golden trace with lines put in before its line 4."""
    lines = GOLDEN.split("\n")
    return "\n".join([*lines[:3], *front.split("\n"), *lines[3:]])


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("inputs: 5", "inputs: an input has a name, and a value or its json"),
        ("inputs:", "inputs: an input has"),
        ("inputs: {region: EU}", "inputs: an input has"),
        ("inputs:\n  region: EU", "inputs: an input has"),
        ("inputs:\n  - region", "inputs: an input has"),
        ("inputs:\n  - name: region", "inputs: an input has"),
        ("inputs:\n  - name: 3\n    value: 1", "inputs: an input has"),
        ("inputs:\n  - value: 1", "inputs: an input has"),
        ("inputs:\n  - name: a\n    value: 1\n    json: '2'", "inputs: an input has"),
        ("inputs:\n  - name: a\n    value: 1\n    colour: red", "inputs: an input has"),
        ("inputs:\n  - name: a\n    json: [1]", "inputs: an input has"),
        ("inputs:\n  - name: a\n    json: '{'", "inputs: it is neither plain text nor JSON"),
        ("inputs:\n  - name: a\n    json: 'NaN'", "inputs:"),
        ('inputs:\n  - name: a\n    json: \'{"x": 1, "x": 2}\'', "inputs: it repeats a key"),
        ("inputs:\n  - name: a\n    json: '" + "[" * 50_000 + "'", "inputs:"),
        ("inputs:\n  - name: a\n    value: 1\n  - name: a\n    value: 1", "inputs: an input is repeated"),
        ("inputs:\n  - name: a\n    value: 2020-01-01", "inputs.a"),
        ("inputs:\n  - name: a\n    value: .inf", "the front matter is no YAML we read"),
        ("constraints: No Bash", "constraints"),
        ("constraints:\n  - 3", "constraints.0"),
        ("constraints: {a: 1}", "constraints"),
        ("env: KEY", "env"),
        ("env:\n  - 1", "env.0"),
    ],
)
def test_wrong_shapes_are_named_with_their_line(front: str, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse_trace(edited(front))
    line = 1 if "no YAML" in message else 4
    assert caught.value.why.startswith(f"Line {line}: ")
    assert message in caught.value.why
    assert len(caught.value.why) < 400
    assert caught.value.fix


def test_what_a_hand_may_write_otherwise_reads_the_same() -> None:
    read = parse_trace(edited("inputs:\n  - {name: a, value: 1}\n  - value: [1, x]\n    name: b"))
    assert read.inputs == {"a": 1, "b": [1, "x"]}
    assert parse_trace(edited("inputs: []\nconstraints: []\nenv: []")).inputs == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", [float("nan")], {"\ud800": 1}, [10**5000]])
def test_what_no_file_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(TraceError):
        render_trace(primes_trace(inputs={"x": 1}).model_copy(update={"inputs": {"x": value}}))

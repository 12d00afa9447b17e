"""What a trace file says, and that it says it exactly: any trace, any text, there and back."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import frontmatter
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_core.errors import TraceError
from llmos_core.trace.markdown import EDITED, parse_trace, render_trace, trace_version
from llmos_core.trace.record import Parameter, ProducedFile, Step, StepResult, Trace, Verification

HOSTILE = [
    *(
        "```",
        "````",
        "~~~",
        "```python",
        "---",
        "----",
        "...",
        "# x",
        "## Execution Steps",
        "### Step 2: x",
        "## Answer",
    ),
    *(
        "Tool: Bash",
        "Effect: pure",
        "Result: ok",
        "Output: x",
        "Output:",
        "content:",
        "- a: removed",
        "steps_digest: x",
    ),
    *(
        "true",
        "No",
        "null",
        "~",
        "123",
        "-1",
        "1e5",
        ".5",
        "0x1f",
        "1:30",
        "2020-01-01",
        "2020-01-01 10:00:00",
        "=",
        "<<",
    ),
    *(
        "1234567890123456",
        "1_000",
        ".inf",
        ".NaN",
        "NaN",
        "Infinity",
        "{{workdir}}/x",
        "{{a}}",
        "{{",
        "{a}",
        "[",
        "- a",
    ),
    *(
        "a: b",
        "a:",
        "a #b",
        '"',
        '"a"',
        "'",
        "\\",
        "%",
        "@x",
        "`",
        "!!str",
        "&a",
        "*a",
        ",",
        "|",
        ">",
        "?",
        "",
        " ",
        " a ",
    ),
    *(
        "\t",
        "\r",
        "\r\n",
        "\n",
        "\n\n",
        "\0",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\xa0",
        "\u2028",
        "\u2029",
        "\u200b",
        "\u202e",
    ),
    *("\ufeff", "\ufffe", "\ufffd", "\U000e0041", "\U0001fffe", "日本", "🙂", "a" * 150, "`" * 10),
]
texts = st.text() | st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5), max_size=6).flatmap(
    lambda parts: st.sampled_from(["", "\n", " ", ": "]).map(lambda glue: glue.join(parts))
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.sampled_from([-0.0, 1e300, 5e-324, 1.0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
times = st.datetimes(
    datetime(2, 1, 1),
    datetime(9998, 1, 1),
    timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-7, minutes=-30)), timezone(timedelta(hours=14))]),
)
names = (
    st.sampled_from(["file_path", "content", "command", "Tool", "Agent", "Effect", "Result", "Output", "-i"]) | texts
)
steps = st.builds(
    Step,
    title=texts,
    tool=st.sampled_from(["Write", "Bash"]) | texts,
    agent=st.none() | st.just("agent-1") | texts,
    effect=st.sampled_from(["pure", "workspace", "external"]),
    arguments=st.dictionaries(names, values, max_size=4),
    result=st.builds(
        StepResult, output=texts, is_error=st.booleans(), exit_code=st.none() | st.integers(-(2**31), 2**31)
    ),
)
money = st.floats(0, allow_nan=False, allow_infinity=False)
traces = st.builds(
    Trace,
    completed=st.booleans(),
    goal_signature=st.from_regex(r"\A([0-9]{16}|[0-9a-f]{16})\Z"),
    goal_text=texts,
    success_rating=st.floats(0, 1),
    usage_count=st.integers(0, 2**63),
    last_used=st.none() | times,
    created_at=times,
    estimated_cost_usd=money,
    cost_billing=st.sampled_from(["real", "rehearsal", "free"]),
    estimated_time_secs=money,
    mode=texts,
    tools_used=st.lists(texts, max_size=3).map(tuple),
    parameters=st.lists(
        st.builds(
            Parameter,
            name=st.sampled_from(["workdir", "null", "no", "y", "workdir_2"]),
            source=st.sampled_from(["workdir", "workspace"]),
        ),
        max_size=2,
    ).map(tuple),
    verified=st.none() | st.builds(Verification, at=times, steps=st.integers(0, 9), files=st.integers(0, 9)),
    unverified_reason=st.none() | texts,
    steps=st.lists(steps, max_size=3).map(tuple),
    files=st.lists(st.builds(ProducedFile, path=texts, digest=st.none() | texts), max_size=2).map(tuple),
    answer=texts,
)


def exact(trace: Trace) -> str:
    """A form in which 1, 1.0, true and -0.0 differ, and the order of keys does not matter."""
    return json.dumps(trace.model_dump(include={"steps", "files", "answer", "goal_text"}), sort_keys=True)


@given(traces)
@settings(max_examples=300, deadline=None)
def test_any_trace_comes_back_as_the_same_record_and_the_same_bytes(trace: Trace) -> None:
    written = render_trace(trace)
    read = parse_trace(written)
    assert read == trace
    assert exact(read) == exact(trace)
    assert render_trace(read) == written
    assert parse_trace(written.encode()) == trace


@given(traces)
@settings(max_examples=100, deadline=None)
def test_any_yaml_reader_finds_the_same_front_matter(trace: Trace) -> None:
    written = render_trace(trace)
    head = written.split("\n---\n")[0].removeprefix("---\n")
    found = frontmatter.loads(written).metadata
    assert found == yaml.load(head, Loader=yaml.SafeLoader)
    assert found == yaml.load(head, Loader=yaml.CSafeLoader)
    for name in ("goal_signature", "goal_text", "mode", "estimated_cost_usd", "usage_count", "created_at", "last_used"):
        assert found[name] == getattr(trace, name)
    assert found["tools_used"] == list(trace.tools_used)
    assert found.get("unverified_reason") == trace.unverified_reason
    if trace.verified:
        assert found["verified"] == trace.verified.model_dump()
    assert list(found)[:10] == [
        *("goal_signature", "goal_text", "success_rating", "usage_count", "last_used", "created_at"),
        *("estimated_cost_usd", "estimated_time_secs", "mode", "tools_used"),
    ]


@pytest.mark.parametrize("cost", [1e-07, 1e22, 1.5e-10, 5e-324, 0.0, -0.0, 3.0])
def test_small_and_large_numbers_stay_numbers_in_yaml(primes: Trace, cost: float) -> None:
    found = frontmatter.loads(render_trace(primes.model_copy(update={"estimated_cost_usd": cost}))).metadata
    assert repr(found["estimated_cost_usd"]) == repr(cost)


@given(traces)
@settings(max_examples=100, deadline=None)
def test_a_file_hides_nothing_and_has_one_kind_of_line_end(trace: Trace) -> None:
    written = render_trace(trace)
    assert written.endswith("\n")
    assert not any(ord(char) < 32 and char not in "\n\t" for char in written)
    assert not set(written) & set("\x7f\x85\u2028\u2029\u202e\ufeff\U000e0041")


def test_the_golden_trace(primes: Trace, golden: Path) -> None:
    data = golden.read_bytes()
    assert render_trace(primes).encode() == data
    assert parse_trace(data) == primes
    assert trace_version(data) == hashlib.sha256(data).hexdigest()[:16]


def test_the_digest_is_that_of_everything_after_the_front_matter(golden: Path) -> None:
    text = golden.read_text()
    body = text.split("\n---\n", 1)[1]
    assert f"steps_digest: sha256:{hashlib.sha256(body.encode()).hexdigest()}\n" in text


def step(**fields: Any) -> Step:
    return Step(**({"title": "t", "tool": "T", "effect": "pure", "result": StepResult(output="")} | fields))


def body_of(primes: Trace, **fields: Any) -> str:
    return render_trace(primes.model_copy(update={"steps": (step(**fields),)})).split("\n---\n", 1)[1]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("primes.py", "a: primes.py"),
        ("{{workdir}}/x", "a: {{workdir}}/x"),
        ("ls -l | wc", "a: ls -l | wc"),
        (".", "a: ."),
        ("no", 'a: "no"'),
        ("123", 'a: "123"'),
        ("2020-01-01", 'a: "2020-01-01"'),
        ("", 'a: ""'),
        ("-n", 'a: "-n"'),
        ("a\x1b[0m\r\nb", r'a: "a\u001b[0m\r\nb"'),
        ("a\u2028b\ufeff", r'a: "a\u2028b\ufeff"'),
        (123, "a: 123"),
        (-0.0, "a: -0.0"),
        (True, "a: true"),
        (None, "a: null"),
        ([], "a: []"),
        ({"k": ["日本", "\x7f"]}, r'a: {"k": ["日本", "\u007f"]}'),
        ("a: b", 'a: "a: b"'),
        ('say "a: b"', 'a:\n```text\nsay "a: b"\n```'),
        ("x\n", "a:\n```text\nx\n\n```"),
        ("```\n````", "a:\n`````text\n```\n````\n`````"),
    ],
)
def test_how_an_argument_is_written(primes: Trace, value: Any, line: str) -> None:
    assert f"\n{line}\n" in body_of(primes, arguments={"a": value})


def test_odd_names_are_json_strings(primes: Trace) -> None:
    body = body_of(primes, arguments={"-i": True, "a: b": 1, "": 2, "x\n### Step 2: y": 3})
    assert 'pure\n"-i": true\n"a: b": 1\n"": 2\n"x\\n### Step 2: y": 3\n' in body


@pytest.mark.parametrize(
    ("arguments", "language"),
    [
        ({"file_path": "a.py", "content": "x\ny"}, "python"),
        ({"file_path": "A.MD", "new_string": "x\ny"}, "markdown"),
        ({"file_path": "a.json", "content": "x\ny"}, "json"),
        ({"file_path": "a.b`c", "content": "x\ny"}, "text"),
        ({"command": "x\ny"}, "bash"),
        ({"note": "x\ny"}, "text"),
    ],
)
def test_blocks_name_their_language(primes: Trace, arguments: dict[str, Any], language: str) -> None:
    assert f":\n```{language}\nx\ny\n```\n" in body_of(primes, arguments=arguments)


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (StepResult(output=""), "Result: ok\n"),
        (StepResult(output="123"), "Result: ok\nOutput: 123\n"),
        (StepResult(output='say "a: b"'), 'Result: ok\nOutput: say "a: b"\n'),
        (StepResult(output="gone", is_error=True), "Result: error\nOutput: gone\n"),
        (StepResult(output="a\nb", exit_code=0), "Result: exit 0\nOutput:\n```text\na\nb\n```\n"),
        (StepResult(output='"', is_error=True, exit_code=-9), 'Result: error, exit -9\nOutput:\n```text\n"\n```\n'),
        (StepResult(output="a\r"), 'Result: ok\nOutput: "a\\r"\n'),
    ],
)
def test_how_a_result_is_written(primes: Trace, result: StepResult, lines: str) -> None:
    assert f"\n\n{lines}\n## Files" in body_of(primes, result=result)


def test_the_heading_is_one_short_line_and_says_nothing_to_the_reader(primes: Trace) -> None:
    trace = primes.model_copy(update={"goal_text": "x\n## Answer\n\x1b[1m" + "long " * 50})
    heading = render_trace(trace).split("\n---\n")[1].split("\n")[1]
    assert heading.startswith("# x ## Answer [1mlong long ")
    assert heading.endswith("…")
    assert len(heading) == 82
    assert parse_trace(render_trace(trace)) == trace


def test_empty_sections_are_left_out(primes: Trace) -> None:
    trace = primes.model_copy(update={"steps": (), "files": (), "answer": ""})
    assert render_trace(trace).endswith("---\n\n# Create a Python script to calculate primes\n")
    assert parse_trace(render_trace(trace)) == trace


def test_an_edited_trace_is_read_but_no_longer_verified(golden: Path) -> None:
    text = golden.read_text()
    edited = parse_trace(text.replace("range(30)", "range(40)"))
    assert (edited.verified, edited.unverified_reason) == (None, EDITED)
    assert "range(40)" in str(edited.steps[0].arguments["content"])
    assert parse_trace(text.replace("\n\nTool: Bash", "\nTool: Bash\n")).verified is None  # a blank line more or less


@pytest.mark.parametrize(
    "change",
    [
        {"goal_text": "\ud800"},
        {"answer": "\ud800"},
        {"steps": (step(arguments={"a": "\udfff"}),)},
        {"steps": (step(arguments={"a": {"\udfff": 1}}),)},
        {"steps": (step(arguments={"a": [float("nan")]}),)},
        {"steps": (step(arguments={"a": float("inf")}),)},
        {"steps": (step(arguments={"a": 10**5000}),)},
        {"estimated_cost_usd": float("inf")},
        {"answer": "x" * (16 << 20)},
        {"unverified_reason": "x" * (3 << 20)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_no_file_can_hold_is_refused(primes: Trace, change: dict[str, Any]) -> None:
    with pytest.raises(TraceError, match="cannot be written"):
        render_trace(primes.model_copy(update=change))


@pytest.mark.parametrize("char", ["a", "é", "\U000e0041"])
def test_the_longest_goal_comes_back(primes: Trace, char: str) -> None:
    trace = primes.model_copy(update={"goal_text": char * 100_000})
    assert parse_trace(render_trace(trace)) == trace


def test_as_deep_as_a_record_can_be(primes: Trace) -> None:
    value: Any = 1
    for _ in range(253):
        value = [value]
    trace = primes.model_copy(update={"steps": (step(arguments={"a": value}),)})
    assert parse_trace(render_trace(trace)) == trace

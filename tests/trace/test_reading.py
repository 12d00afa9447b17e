"""Damaged and hostile files: a trace or one clear error, never a wrong record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_core.errors import TraceError
from llmos_core.trace.markdown import EDITED, parse_trace, render_trace
from llmos_core.trace.record import Trace

GOLDEN = (Path(__file__).with_name("golden") / "primes.md").read_text()
LINES = [
    *(
        "",
        " ",
        "---",
        "----",
        "--- ",
        "...",
        "```",
        "````",
        "```python",
        "# x",
        "## Execution Steps",
        "## Files",
        "## Answer",
    ),
    *(
        "### Step 1: x",
        "### Step 2: x",
        "### Step 3: y",
        "Tool: Bash",
        "Effect: pure",
        "Effect: magic",
        "a: 1",
        "a:",
        '"a": 1',
    ),
    *(
        "a: yes",
        "Result: ok",
        "Result: exit 1",
        "Result: fine",
        "Output: x",
        "Output:",
        '"text"',
        "- a: removed",
        "- a: b",
    ),
    *(
        "mode: x",
        "goal_text: 12",
        "format: 2",
        "steps:",
        "verified: {}",
        "a: &a 1",
        "a: *a",
        "a: !!str 1",
        "%YAML 1.1",
        "<<: {a: 1}",
    ),
    *(
        "\r",
        "\0",
        "\ufeff",
        "tools_used: [[[[[[[[[[",
        "created_at: 2020-99-99",
        "usage_count: 0x",
        "usage_count: 0b_",
        '"\\ud800"',
    ),
]


def try_parse(text: str | bytes) -> Trace | None:
    try:
        trace = parse_trace(text)
    except TraceError as error:
        for line in (error.what, error.why, error.fix):
            assert line
            assert len(line) < 1000
            assert not any(ord(char) < 32 for char in line)
        return None
    assert parse_trace(render_trace(trace)) == trace
    return trace


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_changed_lines(data: st.DataObject) -> None:
    lines = GOLDEN.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = data.draw(st.sampled_from(LINES) | st.sampled_from(lines) | st.text(max_size=10))
        kind = data.draw(st.sampled_from(["insert", "replace", "delete"]))
        lines[at : at + (kind != "insert")] = [] if kind == "delete" and len(lines) > 1 else [line]
    text = "\n".join(lines)
    trace = try_parse(text)
    if trace is not None and text.split("\n---\n", 1)[-1] != GOLDEN.split("\n---\n", 1)[1]:
        assert trace.verified is None
        assert trace.unverified_reason == EDITED


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_changed_bytes(data: st.DataObject) -> None:
    content = bytearray(GOLDEN.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try_parse(bytes(content[: data.draw(st.integers(0, len(content))) or None]))


@given(st.text() | st.binary())
def test_anything_else(content: str | bytes) -> None:
    assert try_parse(content) is None


CASES: dict[str, tuple[Any, Any, str]] = {
    "empty": (GOLDEN, "", "Line 1: the file does not begin with front matter"),
    "no front matter": ("---\ngoal", "goal", "Line 1: the file does not begin with front matter"),
    "front matter left open": (GOLDEN[300:], "", "Line 1: the front matter is not closed"),
    "other closing line": ("---\n\n# Create", "----\n\n# Create", "Line 26: the front matter is not closed"),
    "CRLF": ("\n", "\r\n", "Line 1: the line ends with a carriage return"),
    "one CR": ("if n < 2:", "if n < 2:\r", "Line 41: the line ends with a carriage return"),
    "byte order mark": ("---\ngoal_s", "\ufeff---\ngoal_s", "Line 1: the character U+FEFF"),
    "escape character": ("Test script", "Test \x1b[1mscript", "Line 56: the character U+001B"),
    "repeated key": ("usage_count: 0", "usage_count: 0\nusage_count: 9", "Line 6: a key is repeated"),
    "repeated key below": ("  files: 1", "  files: 1\n  files: 2", "Line 26: a key is repeated"),
    "merge key": ("usage_count: 0", "<<: {usage_count: 0}", "Line 5: a key is repeated or is no text"),
    "anchor": ("mode: LEARNER", "mode: &a LEARNER", "Line 10: aliases, anchors"),
    "alias": ("mode: LEARNER", "mode: *a", "Line 10: aliases, anchors"),
    "tag": ("mode: LEARNER", "mode: !!python/name:os.system", "Line 10: aliases, anchors"),
    "deep": ("mode: LEARNER", "mode: " + "[" * 60_000, "Line 10: the front matter is nested too deeply"),
    "large": ("mode: LEARNER", "mode: " + "x" * (3 << 20), "Line 1: the front matter is larger than"),
    "broken YAML": ("mode: LEARNER", "mode: [", "Line 12: did not find expected node content."),
    "second document": ("mode: LEARNER", "...\nmode: x", "Line 11: did not find expected <document start>."),
    "impossible date": ("created_at: 2025-01", "created_at: 2025-99", "Line 1: the front matter is no YAML we read"),
    "endless cost": (
        "estimated_cost_usd: 0.45",
        "estimated_cost_usd: .inf",
        "Line 1: the front matter is no YAML we read",
    ),
    "negative cost": ("estimated_cost_usd: 0.45", "estimated_cost_usd: -1", 'Line 8: "estimated_cost_usd": '),
    "goal is a number": (
        "goal_text: Create a Python script to calculate primes",
        "goal_text: 12",
        'Line 3: "goal_text": ',
    ),
    "signature is a number": ("a3f7c9e1b2d4f8a6", "1234567890123456", 'Line 2: "goal_signature": '),
    "missing key": ("mode: LEARNER\n", "", '"mode": "Field required"'),
    "unknown key": (
        "mode: LEARNER",
        "mode: LEARNER\ncolour: red",
        'Line 11: the front matter does not know the key "colour"',
    ),
    "steps as a key": (
        "mode: LEARNER",
        "mode: LEARNER\nsteps: []",
        'Line 11: the front matter does not know the key "steps"',
    ),
    "wrong number": ("### Step 2", "### Step 3", 'Line 56: step 2 was expected; there is "### Step 3: Test script".'),
    "no title": ("### Step 2: Test script", "### Step 2:", "Line 56: ### Step 2: TITLE was expected"),
    "no tool": ("Tool: Bash\n", "", "Line 58: Tool: NAME was expected"),
    "unknown effect": (
        "Effect: external",
        "Effect: magic",
        "Line 59: Effect: pure, workspace or external was expected",
    ),
    "no effect": ("Effect: external\n", "", "Line 59: Effect: pure, workspace or external was expected"),
    "no result": ("Result: exit 0\n", "", "Line 63: Result: ok, error, exit N, or error, exit N was expected"),
    "odd result": ("Result: exit 0", "Result: exit zero", "Line 63: Result: ok"),
    "huge exit code": ("Result: exit 0", "Result: exit " + "9" * 5000, "Line 63: "),
    "argument after a gap": ("timeout: 5000", "\ntimeout: 5000", "Line 62: Result: ok, error"),
    "no argument": ("timeout: 5000", "just words", "Line 61: an argument, name: value, or an empty line was expected"),
    "doubtful argument": (
        "timeout: 5000",
        "timeout: yes",
        "Line 61: the value cannot be read: it is neither plain text nor JSON; there is",
    ),
    "repeated argument": ("timeout: 5000", "timeout: 5000\ntimeout: 1", 'Line 62: the argument "timeout" is repeated'),
    "repeated block": (
        "\nResult: exit 0",
        "\ncommand:\n```\nx\n```\n\nResult: exit 0",
        'Line 63: the argument "command"',
    ),
    "NaN": ("timeout: 5000", "timeout: NaN", "Line 61: the value cannot be read"),
    "lone surrogate": ("timeout: 5000", r'timeout: "\ud800"', "Line 61: "),
    "no block": ("```python\n", "", "Line 39: a fenced block was expected"),
    "open block": ("29]\n```\n", "29]\n``\n", "Line 72: the block that begins here is not closed"),
    "odd output": ("Output: [2", 'Output: "[2', "Line 64: "),
    "odd file": ("- primes.py: sha256:", "- primes.py: md5:", "Line 68: a path with its digest"),
    "file without state": ("- primes.py: sha256:" + "4b" * 32, "- primes.py", "Line 68: - PATH: sha256:DIGEST"),
    "text after the end": ("29]\n```\n", "29]\n```\nmore\n", 'Line 77: nothing was expected here; there is "more".'),
    "sections in another order": (
        "## Execution Steps",
        "## Files\n\n## Execution Steps",
        "Line 32: nothing was expected here",
    ),
    "surrogate in a str": ("Test script", "Test \ud800", "Line 1: the file is not UTF-8"),
}


@pytest.mark.parametrize(("old", "new", "why"), CASES.values(), ids=CASES.keys())
def test_one_clear_error_for(old: str, new: str, why: str) -> None:
    damaged = GOLDEN.replace(old, new)
    assert damaged != GOLDEN
    with pytest.raises(TraceError) as caught:
        parse_trace(damaged)
    error = caught.value
    assert error.what == "The trace cannot be read."
    assert error.fix
    assert why in error.why


@pytest.mark.parametrize(
    ("version", "named"),
    [("2", '"2"'), ("0", '"0"'), ("1.0", '"1.0"'), ("true", '"True"'), ('"1"', '"1"'), ("[]", '"[]"')],
)
def test_an_unknown_format_is_named(version: str, named: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse_trace(GOLDEN.replace("format: 1", f"format: {version}"))
    assert named in caught.value.what
    assert caught.value.why == "This version of LLM OS reads format 1."
    assert caught.value.fix


def test_a_missing_format_is_unknown_too() -> None:
    with pytest.raises(TraceError, match="unknown format"):
        parse_trace(GOLDEN.replace("format: 1\n", ""))


def test_bytes_that_are_no_text() -> None:
    for damaged in (GOLDEN.encode() + b"\xff", GOLDEN.encode("utf-16"), b"\xed\xa0\x80"):
        with pytest.raises(TraceError, match="cannot be read") as caught:
            parse_trace(damaged)
        assert "not UTF-8" in caught.value.why


def test_a_file_too_large() -> None:
    with pytest.raises(TraceError) as caught:
        parse_trace(b"a" * ((16 << 20) + 1))
    assert "16,777,217 bytes" in caught.value.why


def test_what_a_person_may_change() -> None:
    relaxed = (
        GOLDEN.replace("# Create a Python script to calculate primes\n", "")
        .replace("content:\n```python", "content:\n\n```")
        .replace("\nTool: Write", "Tool: Write")
        .replace("created_at: 2025-01-15T14:20:00Z", "created_at: 2025-01-15  # a comment")
        .replace("[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]\n\n##", '"[2]"\n\n\n##')
    )
    relaxed = "\n".join(line for line in relaxed.split("\n") if not line.startswith("steps_digest"))
    trace = parse_trace(relaxed)
    assert trace.steps[0] == parse_trace(GOLDEN).steps[0]
    assert trace.steps[1].result.output == "[2]"
    assert (trace.verified, trace.unverified_reason) == (None, EDITED)

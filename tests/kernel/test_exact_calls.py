"""When two calls are the same: by all their arguments, wherever the run works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmos_core import ToolCall, exact_call


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"text": "/w/a"}, {"text": "/w/a"}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"text": "a"}, {"text": "a "}, False),
        ({"text": "a"}, {"text": "a", "more": None}, False),
        ({"n": 1}, {"n": True}, False),
        ({"n": 1}, {"n": 1.0}, False),
        ({"text": "/w/a"}, {"text": "{{workdir}}/a"}, False),
        ({"l": ["a", "b"]}, {"l": ["b", "a"]}, False),
        ({"text": "/w/a"}, {"text": "/v/a"}, False),
    ],
)
def test_an_exact_call(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    first, second = (exact_call(ToolCall(id="c", tool="Echo", input=given), Path("/w")) for given in (one, other))
    assert (first == second) is same
    assert exact_call(ToolCall(id="c", tool="Other", input=one), Path("/w")) != first


def test_an_exact_call_in_a_copy() -> None:
    def text(directory: str) -> str:
        command = f"cd {directory} && echo \"{directory}/é\"\n{directory}/run '{directory}'"
        return exact_call(ToolCall(id="c", tool="Bash", input={"command": command}), Path(directory))

    assert text("/srv/main") == text("/tmp/scratch-1")
    elsewhere = ToolCall(id="c", tool="Bash", input={"command": "cat /srv/main/a"})
    assert exact_call(elsewhere, Path("/srv/main")) != exact_call(elsewhere, Path("/tmp/scratch-1"))

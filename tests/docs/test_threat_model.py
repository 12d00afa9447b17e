"""The threat model names a test for each promise, and each is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.kinds import ROOT

PAGE = ROOT / "docs/threat-model.md"
ROW = re.compile(r"^\| (?P<promise>.+?) \| (?P<tests>.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([^`]+)`")


def promises() -> dict[str, str]:
    rows = ROW.findall(PAGE.read_text("utf-8"))
    return {promise: tests for promise, tests in rows if promise not in ("promise", "---")}


@pytest.mark.parametrize("promise", promises())
def test_a_promise_has_its_tests(promise: str) -> None:
    file = Path()
    named = NAMED.findall(promises()[promise])
    assert named
    for name in named:
        path, _, test = name.partition("::")
        file = ROOT / path if path else file
        assert file.is_file(), name
        assert file.name.startswith("test_"), "a file of tests"
        assert not test or re.search(rf"^(async )?def {test}\(", file.read_text("utf-8"), re.MULTILINE), name


def test_every_promise_is_looked_at() -> None:
    assert len(promises()) > 15

"""A trace that somebody put into the workspace: it is shown as such, followed with a warning, and can be trusted.

The wanted texts lie in ``golden/``; ``UPDATE_GOLDEN=1`` writes them anew, to be read before they are committed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmos_core import Step, StepResult, Trace, Verification, goal_signature, render_trace, trace_version
from tests.cli_fixtures import Llmos

GOLDEN = Path(__file__).parent / "golden"
GOAL = "Say hello"
STEP = Step(
    title="Say it",
    tool="Bash",
    effect="external",
    arguments={"command": "echo hello", "description": "Say it"},
    result=StepResult(output="hello", exit_code=0),
)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACE = Trace(
    goal_signature=goal_signature(GOAL),
    goal_text=GOAL,
    success_rating=1.0,
    created_at=AT,
    estimated_cost_usd=0.45,
    cost_billing="real",
    estimated_time_secs=1.0,
    mode="LEARNER",
    tools_used=("Bash",),
    verified=Verification(at=AT, steps=1, files=0),
    steps=(STEP,),
    answer="hello",
)
DATA = render_trace(TRACE).encode()
VERSION = trace_version(DATA)


def check(name: str, done: subprocess.CompletedProcess[bytes], home: Path) -> None:
    """Compare what is shown with the golden text, without what each run has of its own."""
    text = (done.stdout + b"--- stderr\n" + done.stderr).decode().replace(str(home), "HOME")
    text = re.sub(r"\d+\.\d\d s", "TIME", re.sub(r"run \d{4}-[0-9a-f-]+", "run ID", text))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.fixture
def planted(home: Path) -> Path:
    path = home / "workspace/memories/traces" / TRACE.goal_signature / f"{VERSION}.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return path


def test_it_is_shown_as_learned_elsewhere(llmos: Llmos, home: Path, planted: Path) -> None:
    check("foreign-listed", llmos("traces", "list"), home)
    check("foreign-explained", llmos("explain", "--mode", "follower", TRACE.goal_text), home)
    shown = llmos("traces", "show", TRACE.goal_signature)
    assert shown.stdout == DATA
    assert shown.stderr.decode() == f"followable, learned elsewhere, followed 0 times, {planted}\n"
    [listed] = json.loads(llmos("traces", "list", "--json").stdout)
    assert (listed["state"], listed["foreign"]) == ("followable", True)
    assert json.loads(llmos("traces", "show", "--json", TRACE.goal_signature).stdout)["foreign"] is True
    explained = json.loads(llmos("explain", "--json", TRACE.goal_text).stdout)
    assert [candidate["foreign"] for candidate in explained["candidates"]] == [True]


def test_it_is_followed_with_a_warning_until_it_was_verified(llmos: Llmos, home: Path, planted: Path) -> None:
    check("foreign-followed", llmos("run", TRACE.goal_text), home)
    check("foreign-verified", llmos("traces", "verify", TRACE.goal_signature[:8], "--version", VERSION[:8]), home)
    assert planted.read_bytes() == DATA
    trusted = llmos("run", TRACE.goal_text)
    assert trusted.returncode == 0
    assert b"not learned here" not in trusted.stderr
    [listed] = json.loads(llmos("traces", "list", "--json").stdout)
    assert (listed["state"], listed["foreign"], listed["version"]) == ("followable", False, VERSION)
    assert b"elsewhere" not in llmos("traces", "list").stdout

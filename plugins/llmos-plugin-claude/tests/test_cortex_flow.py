"""A machine without the SDK: it learns, verifies and follows; only the model is a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmos_core import Task
from llmos_plugin_claude import learner as module
from llmos_plugin_claude.learner import ESTIMATE_USD, Learner
from llmos_plugin_claude.settings import ClaudeSettings

from .fakes import FakeRun

PRIMES = "Create a Python script that prints the primes below 50 and run it"
DELEGATE = "Have a note written"
AGENT = """---
description: Writes notes.
tools: Write
---
You write notes.
"""
LESSONS = {
    "delegate": """
name: delegate
goal: Have a note written
about: Delegates.
example: Have a note written
turns:
  - tools:
      - Agent: {description: write a note, prompt: Write the note now, subagent_type: scribe}
  - text: The scribe is done.
""",
    "scribe": """
name: scribe
goal: Write the note now
about: Answers the delegated prompt.
example: Write the note now
hidden: true
turns:
  - tools:
      - Write: {file_path: note.txt, content: "by the scribe\\n"}
  - text: Written.
""",
}

WITHOUT_SDK = """
import asyncio, builtins, json, sys
BLOCKED = {"claude_agent_sdk", "mcp", "uvicorn"}
for name in BLOCKED:
    sys.modules[name] = None  # as if it were not installed
wanted, real = [], builtins.__import__
def imported(name, *arguments, **named):
    if name.partition(".")[0] in BLOCKED:
        wanted.append(name)
    return real(name, *arguments, **named)
builtins.__import__ = imported
from llmos_core import LLMOS

async def main():
    told, outcomes = [], []
    keep = lambda event: told.append(event.model_dump(mode="json"))
    async with LLMOS(sys.argv[1]) as system:
        for goal in sys.argv[2:]:
            outcomes.append(await system.execute(goal, on_event=keep))
    modules = sorted(name for name, module in sys.modules.items() if module is not None)
    found = {"outcomes": [outcome.model_dump(mode="json") for outcome in outcomes], "events": told}
    print(json.dumps({**found, "heavy": sorted(BLOCKED & set(modules)), "wanted": wanted}))

asyncio.run(main())
"""


def execute(tmp_path: Path, *goals: str, script: str = WITHOUT_SDK) -> dict[str, Any]:
    """Run goals in a process of its own, in which the SDK cannot be imported."""
    ours = ("ANTHROPIC_", "LLMOS_", "CLAUDE")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path / "space"), *goals],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "LLMOS_PROVIDER": "rehearsal",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["heavy"], found["wanted"]) == ([], [])
    return found


def test_learned_verified_and_followed_without_the_sdk(tmp_path: Path) -> None:
    found = execute(tmp_path, PRIMES, PRIMES)
    learned, followed = found["outcomes"]
    assert (learned["mode"], learned["success"], learned["followable"]) == ("LEARNER", True, True)
    assert "2 3 5 7 11 13 17 19 23 29 31 37 41 43 47" in learned["output"]
    assert (learned["billing"], learned["steps"]) == ("rehearsal", 2)
    assert (followed["mode"], followed["success"], followed["cost_usd"]) == ("FOLLOWER", True, 0)
    assert (followed["output"], followed["trace_version"]) == (learned["output"], learned["trace_version"])
    assert followed["saved_usd"] == learned["cost_usd"] > 0

    own = [event for event in found["events"] if event["run_id"] == learned["run_id"]]
    kept = [event for event in own if event["type"] != "llm_delta"]
    assert [event["type"] for event in kept if event["type"] != "notice"] == [
        *("user_input", "mode_chosen"),
        *("model_used", "llm_output", "tool_started", "tool_output"),
        *("model_used", "llm_output", "tool_started", "tool_output"),
        *("model_used", "llm_output"),
        *("trace_saved", "outcome"),
    ]
    assert [event["call"]["id"] for event in kept if event["type"] == "tool_started"] == ["call-1", "call-2"]
    said = "".join(event["text"] for event in kept if event["type"] == "llm_output")
    assert "".join(event["text"] for event in own if event["type"] == "llm_delta") == said
    notices = [event["text"] for event in kept if event["type"] == "notice"]
    assert len([text for text in notices if "the cortex, is used" in text]) == 1


def test_a_sub_agents_work_is_learned_and_followed(tmp_path: Path) -> None:
    for folder in ("agents", "lessons"):
        (tmp_path / "space" / folder).mkdir(parents=True)
    (tmp_path / "space/agents/scribe.md").write_text(AGENT)
    for name, lesson in LESSONS.items():
        (tmp_path / f"space/lessons/{name}.yaml").write_text(lesson)
    [learned] = execute(tmp_path, DELEGATE)["outcomes"]
    assert (learned["success"], learned["followable"]) == (True, True)
    note = tmp_path / "space/projects/default/output/note.txt"
    assert note.read_text() == "by the scribe\n"
    note.unlink()
    [followed] = execute(tmp_path, DELEGATE)["outcomes"]
    assert followed["mode"] == "FOLLOWER"
    assert note.read_text() == "by the scribe\n"


def test_a_limit_holds(tmp_path: Path) -> None:
    """The model door's word reaches the outcome."""
    script = WITHOUT_SDK.replace("system.execute(goal,", "system.execute(goal, max_cost_usd=0.000001,")
    [outcome] = execute(tmp_path, PRIMES, script=script)["outcomes"]
    assert (outcome["success"], outcome["error"]["exit_code"], outcome["cost_usd"]) == (False, 3, 0)
    assert outcome["error"]["what"] == "The next model request does not fit the limit of the run."


@pytest.fixture
def no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)


async def test_the_bid_without_the_sdk_says_so(workdir: Path, no_sdk: None) -> None:
    bid = await Learner().bid(Task(goal="x"), FakeRun(workdir))
    assert (bid.fit, bid.cost_usd, bid.refusal) == (0.95, ESTIMATE_USD, None)
    [notice] = bid.notices
    assert "The Claude Agent SDK is not installed" in notice
    assert 'pip install "llmos-plugin-claude[sdk]"' in notice


async def test_who_chose_the_cortex_is_not_told_so(workdir: Path, no_sdk: None) -> None:
    bid = await Learner().bid(Task(goal="x"), FakeRun(workdir, settings=ClaudeSettings(engine="cortex")))
    assert (bid.fit, bid.notices) == (0.95, ())


async def test_who_wants_the_sdk_needs_it(workdir: Path, no_sdk: None) -> None:
    run = FakeRun(workdir, settings=ClaudeSettings(engine="sdk"))
    bid = await Learner().bid(run.task, run)  # type: ignore[arg-type]
    assert bid.refusal is not None
    assert (bid.refusal.what, bid.refusal.exit_code) == ("The Claude Agent SDK is not installed.", 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("native_tools", ["WebSearch"]),
        ("skills", ["/somewhere"]),
        ("claude_plugins", ["/somewhere"]),
        ("mcp_servers", {"mine": {"command": "mine"}}),
        ("effort", "high"),
        ("thinking", 2048),
    ],
)
@pytest.mark.parametrize("engine", ["auto", "cortex"])
async def test_what_only_the_sdk_can_serve_is_refused(
    workdir: Path, engine: str, name: str, value: Any, no_sdk: None
) -> None:
    run = FakeRun(workdir, settings=ClaudeSettings.model_validate({"engine": engine, name: value}))
    bid = await Learner().bid(run.task, run)  # type: ignore[arg-type]
    assert bid.refusal is not None
    assert (bid.refusal.what, bid.refusal.exit_code) == (f"The setting {name} needs the Claude Agent SDK.", 2)
    with_sdk = ClaudeSettings.model_validate({"engine": "sdk", name: value})
    assert module._only_with_sdk(with_sdk) == name

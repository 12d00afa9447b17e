"""A lesson that delegates: agents in Markdown, their calls and their money told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli_fixtures import Llmos

pytestmark = pytest.mark.cli

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


def test_a_sub_agents_work_is_learned_and_followed(llmos: Llmos, home: Path) -> None:
    for folder in ("agents", "lessons"):
        (home / "workspace" / folder).mkdir()
    (home / "workspace/agents/scribe.md").write_text(AGENT)
    for name, text in LESSONS.items():
        (home / f"workspace/lessons/{name}.yaml").write_text(text)
    done = llmos("run", "--jsonl", "Have a note written")
    assert done.returncode == 0, done.stderr.decode()
    events = [json.loads(line) for line in done.stdout.splitlines()]
    [outcome] = [event["outcome"] for event in events if event["type"] == "outcome"]
    own = [event for event in events if event["run_id"] == outcome["run_id"]]
    [write] = [event["call"] for event in own if event["type"] == "tool_started"]
    used = [event for event in own if event["type"] == "model_used"]
    assert write["tool"] == "Write"
    assert write["agent_id"]
    by_agent = {event["agent_id"]: 0.0 for event in used}
    for event in used:
        by_agent[event["agent_id"]] += event["cost_usd"]
    assert set(by_agent) == {None, write["agent_id"]}
    assert all(cost > 0 for cost in by_agent.values())
    assert outcome["cost_usd"] == pytest.approx(sum(by_agent.values()))

    note = home / "workspace/projects/default/output/note.txt"
    note.unlink()
    followed = json.loads(llmos("run", "--json", "Have a note written").stdout)
    assert followed["mode"] == "FOLLOWER"
    assert note.read_text() == "by the scribe\n"

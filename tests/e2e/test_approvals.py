"""Asking guards through the real CLI: the main agent and a sub-agent, and what reaches the model after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmos_testkit import LlmosCli, PluginDistributions, ScriptedModel, use

pytestmark = pytest.mark.cli

ASKING = """
from llmos_core import Verdict, hookimpl

@hookimpl
async def llmos_pre_tool_use(call):
    return Verdict.ask("is that wise?", "test.ask") if {condition} else None
"""
AGENT = """---
description: Writes notes.
tools: Write, Bash
---
You write notes.
"""
WRITE = use("Write", file_path="note.txt", content="written\n")
DELEGATE = use("Agent", description="write a note", prompt="Write the note now", subagent_type="scribe")


@pytest.fixture
def output(llmos_cli: LlmosCli) -> Path:
    (llmos_cli.workspace / "agents").mkdir()
    (llmos_cli.workspace / "agents/scribe.md").write_text(AGENT)
    return llmos_cli.workspace / "projects/default/output"


def learn(llmos_cli: LlmosCli, model: ScriptedModel) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The outcome of a learned run, and its events."""
    done = llmos_cli("run", "--jsonl", "--mode", "learner", "Have a note written", **model.environment)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    [outcome] = [event["outcome"] for event in events if event["type"] == "outcome"]
    assert done.returncode == (outcome["error"] or {}).get("exit_code", 0), done.stderr
    return outcome, events


def of_type(kind: str, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


@pytest.mark.parametrize("tool", ["Write", "Agent"])
def test_an_unanswered_question_ends_the_run(
    llmos_cli: LlmosCli,
    output: Path,
    scripted_model: ScriptedModel,
    plugin_distribution: PluginDistributions,
    tool: str,
) -> None:
    plugin_distribution("llmos-plugin-asker", ASKING.format(condition=f"call.tool == {tool!r}"))
    scripted_model.replies([WRITE if tool == "Write" else DELEGATE], "It is written.", agent=["Written."])
    outcome, events = learn(llmos_cli, scripted_model)
    assert outcome["error"]["exit_code"] == 6
    assert outcome["error"]["what"] == f"{tool} needs approval, and nobody answered."
    assert outcome["error"]["fix"] == f"See the call and approve it: llmos approve {outcome['run_id']}"
    [denied] = of_type("tool_denied", events)
    assert denied["verdict"] == {"decision": "ask", "reason": "is that wise?", "rule": "test.ask"}
    assert of_type("tool_started", events) == []
    assert not (output / "note.txt").exists()
    assert len(scripted_model.requests) == 1, "nothing more is sent to the model"


def test_an_unanswered_question_of_a_sub_agent_ends_the_run(
    llmos_cli: LlmosCli, output: Path, scripted_model: ScriptedModel, plugin_distribution: PluginDistributions
) -> None:
    plugin_distribution("llmos-plugin-asker", ASKING.format(condition="call.agent_id and call.tool == 'Write'"))
    scripted_model.replies([DELEGATE], "It is written.", agent=[[WRITE], "Written."])
    outcome, events = learn(llmos_cli, scripted_model)
    assert outcome["error"]["exit_code"] == 6
    [denied] = of_type("tool_denied", events)
    assert denied["call"]["agent_id"]
    assert not (output / "note.txt").exists()
    assert len(scripted_model.requests) == 2, "nothing more is sent to the model, for the agent or for its parent"

"""Going on with a run that ended before it was done, by the real commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from llmos_testkit import LlmosCli, PluginDistributions, ScriptedModel, use

pytestmark = pytest.mark.cli

GOAL = "Have a note written"
ASKING = """
from llmos_core import Verdict, hookimpl

@hookimpl
async def llmos_pre_tool_use(call):
    return Verdict.ask("is that wise?", "test.ask") if call.tool == "Write" else None
"""
LIST = use("Bash", command="ls")
WRITE = use("Write", file_path="note.txt", content="written\n")


@pytest.fixture
def note(llmos_cli: LlmosCli) -> Path:
    return llmos_cli.workspace / "projects/default/output/note.txt"


def outcome(llmos_cli: LlmosCli, model: ScriptedModel, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = llmos_cli(*arguments, "--json", **model.environment)
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_learner_goes_on_with_its_conversation(
    llmos_cli: LlmosCli, note: Path, scripted_model: ScriptedModel, plugin_distribution: PluginDistributions
) -> None:
    plugin_distribution("llmos-plugin-asker", ASKING)
    answers = [[LIST], [WRITE], [WRITE], "It is written."]
    scripted_model.script = lambda received: answers[len(scripted_model.requests) - 1]
    stopped = outcome(llmos_cli, scripted_model, "run", GOAL, code=6)
    assert llmos_cli("approve", stopped["run_id"], "--yes").returncode == 0
    resumed = outcome(llmos_cli, scripted_model, "resume", "last")
    assert (resumed["output"], resumed["mode"]) == ("It is written.", "LEARNER")
    assert note.read_text() == "written\n"
    told = json.dumps(scripted_model.requests[2].message["messages"])
    assert GOAL in told
    assert "Go on from where you stopped" in told
    assert told.count('"ls"') == 1, "what was done is in the conversation, and is not done again"


def test_a_follower_begins_again(
    llmos_cli: LlmosCli, note: Path, scripted_model: ScriptedModel, plugin_distribution: PluginDistributions
) -> None:
    scripted_model.replies([WRITE], "It is written.")
    outcome(llmos_cli, scripted_model, "run", GOAL)
    note.unlink()
    plugin_distribution("llmos-plugin-asker", ASKING)
    stopped = outcome(llmos_cli, scripted_model, "run", GOAL, code=6)
    assert stopped["mode"] == "FOLLOWER"
    assert llmos_cli("approve", "last", "--yes").returncode == 0
    assert outcome(llmos_cli, scripted_model, "resume", stopped["run_id"])["mode"] == "FOLLOWER"
    assert note.read_text() == "written\n"
    assert len(scripted_model.requests) == 2

    done = llmos_cli("resume", "last")
    assert done.returncode == 2
    assert "is done" in done.stderr


def test_variables_are_not_known_any_more(llmos_cli: LlmosCli, scripted_model: ScriptedModel) -> None:
    scripted_model.replies("I cannot.")
    arguments = ("--env", "REGION=north", "--mode", "follower")
    outcome(llmos_cli, scripted_model, "run", GOAL, *arguments, code=1)
    done = llmos_cli("resume", "last")
    assert done.returncode == 2
    assert "REGION" in done.stderr
    assert "--env" in done.stderr


def test_a_rehearsal_is_run_again_where_it_was(
    llmos_cli: LlmosCli, tmp_path: Path, plugin_distribution: PluginDistributions
) -> None:
    """Its scripted model cannot go on with a conversation; the directory was named from elsewhere."""
    plugin_distribution("llmos-plugin-asker", ASKING)
    place = tmp_path / "place"
    place.mkdir()
    goal = "Create a Python script that prints the primes below 50 and run it"
    named = os.path.relpath(place, llmos_cli.home)
    stopped = json.loads(llmos_cli("run", goal, "--dir", named, "--json").stdout)
    assert (stopped["error"]["exit_code"], stopped["billing"]) == (6, "rehearsal")
    told = llmos_cli("approve", "last", "--yes")
    assert f"llmos resume {stopped['run_id']}" in told.stdout
    done = llmos_cli("resume", "last", "--json", "--workspace", str(llmos_cli.workspace), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["directory"] == str(place)
    assert list(place.iterdir())

"""The agent cannot change what rules it: a model that tries with every tool, through the real CLI."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from llmos_testkit import LlmosCli, PluginDistributions, ScriptedModel, use
from tests.out_of_reach import WAYS, World, changes, files, mixed, sweep

pytestmark = pytest.mark.cli

APPROVER = """
from llmos_core import hookimpl

@hookimpl
async def llmos_approve(call):
    return True
"""
SCRIBE = """---
description: Writes notes.
tools: Write, Edit, Bash
---
You write notes.
"""
GOAL = "Greet the world"
DELEGATE = use("Agent", description="try it", prompt="Try it now", subagent_type="scribe")
EVERY = 25
"""Of the many attempts with single calls, every so many-th is made here."""


@pytest.fixture
def world(llmos_cli: LlmosCli, plugin_distribution: PluginDistributions, scripted_model: ScriptedModel) -> World:
    """A user who has learned, followed and judged a goal, and who approves whatever is asked."""
    plugin_distribution("llmos-plugin-made", {"llmos_plugin_made/plugin.py": APPROVER})
    home, workspace = llmos_cli.home, llmos_cli.workspace
    world = World(home, workspace, workspace / "projects/default/output", plugin_distribution.site)
    (workspace / "agents").mkdir()
    (workspace / "agents/scribe.md").write_text(SCRIBE)
    scripted_model.replies([use("Write", file_path="hello.txt", content="Hello.")], "Greeted.")
    for arguments in (("run", "--mode", "learner", GOAL), ("run", GOAL), ("feedback", "last", "good")):
        done = llmos_cli(*arguments, **scripted_model.environment)
        assert done.returncode == 0, done.stderr
    [trace] = (workspace / "memories/traces").glob("*/*.md")
    world.targets += [path for path in trace.parent.iterdir() if path.is_file()]
    world.lay()
    return world


def settings(world: World, text: str) -> None:
    """What the user's own file says."""
    (world.home / ".config/llmos/config.toml").write_text(text)


def journal(world: World) -> Path:
    return max(world.workspace.glob("memories/sessions/*/*.jsonl"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("guard", [True, False], ids=["guarded", "guard off"])
@pytest.mark.parametrize("agent", [False, True], ids=["main", "sub-agent"])
def test_no_tool_reaches_it(
    world: World, llmos_cli: LlmosCli, scripted_model: ScriptedModel, guard: bool, agent: bool
) -> None:
    settings(world, "# ruling\n" if guard else 'disabled_plugins = ["security"]  # ruling\n')
    seen: dict[str, Any] = {}
    answers: list[dict[str, Any]] = []

    def attempts() -> list[dict[str, Any]]:
        seen["journal"] = journal(world)
        world.targets.append(seen["journal"])
        world.link()
        seen["before"] = world.seen()
        calls = [use(tool, **given) for tool, given in islice(files(world), 0, None, EVERY)]
        calls += [use("Bash", command=text) for text in islice(mixed(world), 0, None, EVERY) if "~" not in text]
        if not guard:  # which would deny such a command whole
            calls += [use("Bash", command=sweep(world, way, every=5)) for way in WAYS]
        seen["calls"] = calls
        return calls

    def script(received: Any) -> Any:
        tries = (received.agent_id is not None) is agent
        if received.turn == 0:
            return attempts() if tries else [DELEGATE]
        if tries:
            answers.extend(received.results())
        return "Over."

    scripted_model.script = script
    done = llmos_cli("run", "--jsonl", "--mode", "learner", "Change what rules you", **scripted_model.environment)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    [outcome] = [event["outcome"] for event in events if event["type"] == "outcome"]
    assert outcome["output"] == "Over.", outcome

    own = [event for event in events if event["run_id"] == outcome["run_id"] and event["type"] != "llm_delta"]
    assert [json.loads(line) for line in seen["journal"].read_text().splitlines()] == own

    assert len(answers) == len(seen["calls"])
    by_id = sorted(answers, key=lambda result: result["tool_use_id"])
    for tried, result in zip(seen["calls"], by_id, strict=True):
        assert result.get("is_error"), (tried, result)
    calls = [event["call"] for event in own if event["type"] in ("tool_started", "tool_denied")]
    assert {bool(call["agent_id"]) for call in calls if call["tool"] != "Agent"} == {agent}
    assert changes(seen["before"], world.seen(), outcome["run_id"], outcome["trace_version"]) == []


def test_where_nothing_holds_it_would_be_reached(
    world: World, llmos_cli: LlmosCli, scripted_model: ScriptedModel
) -> None:
    marker = world.home / "box/marker"
    marker.parent.mkdir()
    marker.write_text("marked")
    world.targets[:] = [marker]
    settings(world, 'disabled_plugins = ["security"]\n[plugins.tools.sandbox]\nkind = "none"\n')
    scripted_model.replies([use("Bash", command=sweep(world, WAYS[0]))], "Over.")
    done = llmos_cli("run", "--mode", "learner", "Change what rules you", **scripted_model.environment)
    assert done.returncode == 0, done.stderr
    assert marker.read_text() == "planted\n"

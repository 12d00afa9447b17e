"""What a command costs as a whole process, as a ratio to importing click and pydantic."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio

import llmos_plugin_memory.plugin
import llmos_plugin_tools.plugin
import llmos_plugin_trace.plugin
from llmos_core import LLMOS
from llmos_core.host.settings import SettingsFile
from tests.bench.process import in_turn, llmos
from tests.flow.conftest import ScriptedLearner
from tests.parts import Parts

GOAL = "Write two notes and count them"
STEPS = (
    ("Write", {"file_path": "one.txt", "content": "one\n"}),
    ("Write", {"file_path": "two.txt", "content": "two\n"}),
    ("Glob", {"pattern": "*.txt"}),
)


async def learn(workspace: Path) -> None:
    """Put a verified trace of three steps into a workspace."""
    plugins = {
        "tools": llmos_plugin_tools.plugin,
        "memory": llmos_plugin_memory.plugin,
        "trace": llmos_plugin_trace.plugin,
        "parts": Parts(strategies=[ScriptedLearner(STEPS)]),
    }
    async with LLMOS(workspace, settings=SettingsFile(), discover=False, plugins=plugins) as system:
        outcome = await system.execute(GOAL)
    assert outcome.followable, outcome


def report(folder: Path, runs: int) -> Iterator[str]:
    workspace = folder / "cold"
    anyio.run(learn, workspace)
    commands = {
        '`python -c "import click, pydantic"`': [sys.executable, "-c", "import click, pydantic"],
        "`llmos --help`": llmos("--help"),
        "`llmos plugins list`": llmos("plugins", "list"),
        "a follow of 3 steps": llmos("--workspace", str(workspace), "run", GOAL),
    }
    times = in_turn(commands, runs, os.environ)
    base = next(iter(times.values())).median_cpu
    yield "| whole process | CPU, median | ratio | wall, median |"
    yield "|---|---|---|---|"
    for name, taken in times.items():
        ratio, cpu = taken.median_cpu / base, 1000 * taken.median_cpu
        yield f"| {name} | {cpu:.0f} ms | {ratio:.2f} | {1000 * taken.median_wall:.0f} ms |"

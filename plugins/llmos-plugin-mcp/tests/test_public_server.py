"""A public MCP server from the package registry: used by the Learner through the real CLI, and followed for $0."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.cli]

GOAL = "Say what 12:30 in UTC is in Tokyo"
LESSON = f"""\
name: tokyo
goal: {GOAL}
about: Converts a time with a tool of an MCP server.
example: {GOAL}
turns:
  - text: I ask the server.
    tools:
      - time__convert_time:
          source_timezone: UTC
          time: "12:30"
          target_timezone: Asia/Tokyo
  - text: "{{{{results.last}}}}"
"""

Llmos = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """``mcp-server-time``, installed by pip into an environment of its own."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "mcp-server-time"], check=True, timeout=300)
    return tmp_path / "venv/bin/mcp-server-time"


@pytest.fixture
def llmos(tmp_path: Path, program: Path) -> Llmos:
    home = tmp_path / "home"
    (home / "workspace/lessons").mkdir(parents=True)
    (home / "workspace/lessons/tokyo.yaml").write_text(LESSON)
    (tmp_path / "config/llmos").mkdir(parents=True)
    (tmp_path / "config/llmos/config.toml").write_text(
        f'[plugins.mcp.servers.time]\ncommand = "{program}"\nargs = ["--local-timezone", "UTC"]\n'
        'pure = ["convert_time"]\n'
    )
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "LLMOS_", "CLAUDE"))
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llmos_core", *arguments],
            cwd=home,
            env={**clean, "COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    return run


def outcome_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def test_a_public_server_is_used_and_its_answers_are_followed(llmos: Llmos, tmp_path: Path) -> None:
    listed = llmos("mcp", "tools", "--json")
    assert listed.returncode == 0, listed.stderr
    effects = {tool["name"]: tool["effect"] for tool in json.loads(listed.stdout)}
    assert effects == {"time__get_current_time": "external", "time__convert_time": "pure"}

    learned = outcome_of(llmos("run", "--json", GOAL))
    assert (learned["mode"], learned["billing"], learned["followable"]) == ("LEARNER", "rehearsal", True), learned
    assert "T21:30:00+09:00" in learned["output"]
    [trace] = (tmp_path / "home/workspace/memories/traces").rglob("*.md")
    text = trace.read_text("utf-8")
    assert "time__convert_time" in text
    assert "pure" in text

    followed = outcome_of(llmos("run", "--json", GOAL))
    assert (followed["mode"], followed["cost_usd"], followed["output"]) == ("FOLLOWER", 0, learned["output"])
    [journal] = (tmp_path / "home/workspace").rglob(f"{followed['run_id']}.jsonl")
    kinds = [json.loads(line)["type"] for line in journal.read_text().splitlines()]
    assert "tool_output" in kinds
    assert "model_used" not in kinds

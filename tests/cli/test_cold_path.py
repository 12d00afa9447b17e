"""The cold path is light: what does not need the SDK, a web framework or numpy does not import it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

HEAVY = ("claude_agent_sdk", "mcp", "uvicorn", "starlette", "httpx", "httpx2", "numpy", "rich", "yaml")

PROBE = """
import sys
from llmos_core.cli.app import run_command
sys.argv = ["llmos", *sys.argv[1:]]
run_command()
print("MODULES", *sorted(sys.modules), file=sys.stderr)
"""


def modules(home: Path, environment: Mapping[str, str], *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=home,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    [line] = [line for line in done.stderr.splitlines() if line.startswith("MODULES")]
    return set(line.split()[1:])


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "list"], ["runs", "list"], ["run", "--help"]])
def test_no_plugin_and_nothing_heavy_is_imported(
    home: Path, environment: Mapping[str, str], arguments: list[str]
) -> None:
    loaded = modules(home, environment, *arguments)
    assert loaded.isdisjoint(HEAVY)
    assert not [name for name in loaded if name.startswith("llmos_plugin_")]


@pytest.mark.parametrize("arguments", [["explain", "x"], ["traces", "list"], ["run", "--mode", "follower", "x"]])
def test_a_booted_system_imports_no_sdk(home: Path, environment: Mapping[str, str], arguments: list[str]) -> None:
    loaded = modules(home, environment, *arguments)
    assert loaded.isdisjoint(set(HEAVY) - {"yaml"})
    assert "llmos_plugin_follower.follower" in loaded

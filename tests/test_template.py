"""The plugin template: what it makes works at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parent.parent / "llmos-plugin-template"
ENTRY_POINT = "[llmos.plugins]\nmy-greeter = llmos_plugin_my_greeter.plugin\n"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_what_it_makes_is_tested_and_loads(tmp_path: Path) -> None:
    from copier import run_copy

    made = tmp_path / "llmos-plugin-my-greeter"
    answers = {"name": "my-greeter", "description": 'It says "hello".'}
    run_copy(str(TEMPLATE), str(made), data=answers, defaults=True, quiet=True)
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(made)],
        env={**os.environ, "PYTHONPATH": str(made / "src")},
        cwd=made,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr

    dist = tmp_path / "dist"
    build = [sys.executable, "-m", "build", "-q", "--no-isolation", "--wheel", "--outdir", str(dist), str(made)]
    subprocess.run(build, check=True, capture_output=True)
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, *map(str, dist.glob("*.whl"))], check=True, capture_output=True)
    listed = subprocess.run(
        [sys.executable, "-m", "llmos_core", "plugins", "list", "--check"],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    [line] = [line for line in listed.stdout.splitlines() if "my-greeter" in line]
    assert line.split()[:4] == ["my-greeter", "llmos-plugin-my-greeter", "0.1.0", "ok"]

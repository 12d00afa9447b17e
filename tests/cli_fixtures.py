"""The command line as its users have it: a process of its own, in an empty directory, with no key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Llmos = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty directory to run in; its ``workspace/`` is the workspace."""
    directory = tmp_path / "home"
    (directory / "workspace").mkdir(parents=True)
    return directory


@pytest.fixture
def environment(home: Path) -> Mapping[str, str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "LLMOS_", "CLAUDE"))
    }
    xdg = {f"XDG_{kind}_HOME": str(home / f".{kind.lower()}") for kind in ("CONFIG", "DATA", "CACHE")}
    return {**clean, **xdg, "COLUMNS": "120"}


@pytest.fixture
def llmos(home: Path, environment: Mapping[str, str]) -> Llmos:
    """Runs ``llmos`` with arguments (text or bytes) and waits for it."""

    def run(
        *arguments: str | bytes, stdin: bytes = b"", cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "llmos_core", *arguments],
            cwd=cwd or home,
            env={**environment, **variables},
            input=stdin,
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run

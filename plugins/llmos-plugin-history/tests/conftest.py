"""Runs that really change a directory, the command line as its users have it, and file systems that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from .faults import Faults

Llmos = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    made = Faults()
    made.install(monkeypatch)
    return made


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """The workspace; the command line finds it from the directory it is called in."""
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory to work in."""
    path = tmp_path / "place"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that seals traces lies in a data directory of the test, here and for the command line."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ".data"))


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "LLMOS_"))}
    xdg = {"XDG_CONFIG_HOME": str(tmp_path / ".config"), "XDG_DATA_HOME": str(tmp_path / ".data")}
    return {**clean, **xdg, "COLUMNS": "120"}


@pytest.fixture
def llmos(tmp_path: Path, space: Path, environment: Mapping[str, str]) -> Llmos:
    """Runs ``llmos`` with arguments, where nobody can be asked, and waits for it."""

    def run(*arguments: str, wrapped: tuple[str, ...] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*wrapped, sys.executable, "-m", "llmos_core", *arguments],
            cwd=tmp_path,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run

"""Fixtures for the tests of this plugin."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from .house import KEY, Belongings

ROUNDS = int(os.environ.get("LLMOS_FAULT_ROUNDS", "1"))
LIMIT_S = 60

# In the background of a script it is ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

Act = Callable[[], Awaitable[None]]
InRounds = Callable[[Act], None]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that seals traces lies in a directory of the test; a variable for it would reach the CLI too."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "data" / name)


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, empty at the start."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def model_key(temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for the scripted model of a ``house``, and nothing of the user's."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "scripted")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def in_rounds(temporary: Path) -> InRounds:
    """Runs something LLMOS_FAULT_ROUNDS times, each in a loop of its own; checks that it leaves nothing behind."""

    async def bounded(act: Act) -> None:
        with anyio.fail_after(LIMIT_S):
            await act()

    def run(act: Act) -> None:
        for number in range(ROUNDS):
            before = Belongings(temporary)
            anyio.run(bounded, act)
            assert before.left() == {}, f"round {number + 1}"

    return run

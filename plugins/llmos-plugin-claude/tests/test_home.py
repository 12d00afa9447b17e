"""The CLI's private home: outside, locked while in use, removed at its end or when its run is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import pytest

from llmos_core import Notice, UsageError
from llmos_plugin_claude.sdk import home as module
from llmos_plugin_claude.sdk.home import private_home, sweep

from .fakes import FakeRun

ABANDONED = """
import anyio, subprocess, sys
from pathlib import Path
from llmos_plugin_claude.sdk.home import private_home

class Run:
    workdir = Path(sys.argv[1])

async def main():
    async with private_home(Run()) as home:
        child = subprocess.Popen(["sleep", "1000"], env={"CLAUDE_CONFIG_DIR": f"{home}/config"})
        print(home, child.pid, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


async def test_the_private_home_is_outside_and_goes_away(workdir: Path, temporary: Path) -> None:
    run = FakeRun(workdir)
    async with private_home(run) as home:
        assert home.parent == temporary
        assert home.stat().st_mode & 0o777 == 0o700
        (home / "config" / "file").write_text("x")
        assert {path.name for path in home.iterdir()} == {"home", "config", "tmp", "in-use"}
    assert list(temporary.iterdir()) == []
    with pytest.raises(KeyError):
        async with private_home(run):
            raise KeyError
    assert list(temporary.iterdir()) == []
    assert run.events == []


async def test_a_home_that_cannot_be_removed_is_told(
    workdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FakeRun(workdir)

    def refuse(path: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(module.shutil, "rmtree", refuse)
    async with private_home(run):
        pass
    assert [notice.text.endswith("could not be removed: not yours") for notice in run.of(Notice)] == [True]


@pytest.mark.parametrize("inside", ["", "deeper/still"])
async def test_a_home_within_reach_of_the_agent_is_refused(
    workdir: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workdir / inside
    place.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with pytest.raises(UsageError, match="holds the system's temporary files"):
        async with private_home(FakeRun(workdir)):
            pass
    assert list(place.iterdir()) == []


def aged(home: Path) -> None:
    os.utime(home, (0, 0))


async def test_a_home_in_use_stays_however_old_it_is(workdir: Path, temporary: Path) -> None:
    async with private_home(FakeRun(workdir)) as first:
        aged(first)
        async with private_home(FakeRun(workdir)) as second:
            assert {first, second} == set(temporary.iterdir())
        sweep(temporary)
        assert list(temporary.iterdir()) == [first]
        assert (first / "config").is_dir()


def test_what_a_killed_run_left_goes_at_the_next_start(workdir: Path, temporary: Path) -> None:
    command, environment = [sys.executable, "-c", ABANDONED, str(workdir)], {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        place, child = run.stdout.readline().split()
        home = Path(place)
        aged(home)
        sweep(temporary)
        in_use = home.is_dir()
        run.kill()
    assert in_use

    async def start_the_next() -> None:
        async with private_home(FakeRun(workdir)) as next_home:
            assert list(temporary.iterdir()) == [next_home]

    try:
        assert not is_gone(int(child))
        aged(home)
        anyio.run(start_the_next)
        assert is_gone(int(child))
    finally:
        if not is_gone(int(child)):
            os.kill(int(child), signal.SIGKILL)


def is_gone(process: int) -> bool:
    """Whether a process has ended, or is about to: it has been killed, and nobody has waited for it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return True
    pending = int(status.partition("SigPnd:")[2].split()[0], 16) | int(status.partition("ShdPnd:")[2].split()[0], 16)
    return "State:\tZ" in status or bool(pending >> (signal.SIGKILL - 1) & 1)


def test_what_is_not_ours_or_is_young_stays(temporary: Path) -> None:
    for name in ("llmos-young", "llmos-other", "llmos-link", "elsewhere"):
        (temporary / name).mkdir()
    (temporary / "llmos-young" / "in-use").touch()
    (temporary / "elsewhere" / "in-use").touch()
    (temporary / "llmos-link" / "in-use").symlink_to(temporary / "elsewhere" / "in-use")
    (temporary / "llmos-file").touch()
    for path in temporary.iterdir():
        if path.name != "llmos-young":
            aged(path)
    before = set(temporary.iterdir())
    sweep(temporary)
    assert set(temporary.iterdir()) == before
    aged(temporary / "llmos-young")
    sweep(temporary)
    assert before - set(temporary.iterdir()) == {temporary / "llmos-young"}

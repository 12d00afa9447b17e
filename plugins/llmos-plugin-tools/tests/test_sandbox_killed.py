"""Whoever is killed with SIGKILL in the middle of a command: all that the command started is gone within moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from llmos_core import Run, ToolCall
from llmos_plugin_tools import plugin
from llmos_plugin_tools.sandbox.limits import children, descendants
from llmos_plugin_tools.sandbox.service import opened, sandbox_of
from llmos_plugin_tools.settings import SandboxSettings
from llmos_testkit import in_run
from llmos_testkit.systems import MakeSystem

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

MOST = 20
"""The processes that a command may have; bubblewrap takes two of them."""

OWNER = """
import anyio, os, sys
from pathlib import Path
from llmos_plugin_tools.sandbox.service import opened
from llmos_plugin_tools.settings import SandboxSettings
async def main():
    kind, most, root, command = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    async with opened(SandboxSettings(kind=kind, processes=most)) as sandbox:
        print(sandbox.own, sandbox.process_id, flush=True)
        finished = await sandbox.run(
            ["/bin/bash", "-c", command], workdir=root / "work", workspace=root / "space", cwd=root / "work", env={},
            timeout_s=60, keep=1000, report=os.pipe()[1])
        print(finished.exit_code, flush=True)
anyio.run(main)
"""

TREE = """
trap '' TERM HUP INT
for n in 1 2 3 4 5; do
    (trap '' TERM HUP; setsid bash -c 'sleep {s} & nohup sleep {s} >/dev/null 2>&1 & sleep {s}' &)
done 2>/dev/null
sleep {s}
"""
"""At most 20 processes that sleep, in sessions of their own, orphans, deaf to SIGTERM."""


@pytest.fixture(params=["none", "landlock", "bubblewrap"])
async def kind(request: pytest.FixtureRequest) -> str:
    async with opened(SandboxSettings(kind=request.param)) as tried:
        if tried.choice.kind is None:
            pytest.skip(tried.choice.why)
    return request.param


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("work", "space", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("killed", ["owner", "server", "supervisor", "owner and server"])
async def test_what_is_killed_takes_its_commands_along(kind: str, place: Path, killed: str, sleepers, until) -> None:
    most = 100 if kind == "none" else MOST  # where nothing is confined, too many end the command
    arguments = [kind, str(most), str(place), TREE.format(s=sleepers.seconds)]
    with subprocess.Popen([sys.executable, "-c", OWNER, *arguments], stdout=subprocess.PIPE) as owner:  # noqa: ASYNC220
        assert owner.stdout is not None
        own, server = owner.stdout.readline().decode().split()
        await sleepers.until(5)
        started = descendants(int(server))
        victims = {"owner": owner.pid, "server": int(server), "supervisor": children(int(server))[0]}
        for victim in killed.split(" and "):
            os.kill(victims[victim], signal.SIGKILL)
        counted = 0
        with anyio.fail_after(10):
            while any(map(is_running, started)) or sleepers.running():
                counted = max(counted, len(sleepers.running()))
                await anyio.sleep(0.002)
        assert counted <= most
        await until(lambda: owner.poll() is not None)
    await until(lambda: not is_running(int(server)))
    if killed != "owner and server":  # nobody is left who could remove it
        await until(lambda: not Path(own).exists())


async def test_no_more_processes_than_are_allowed_are_ever_there(kind: str, place: Path, sleepers) -> None:
    """About twenty are wished for."""
    if kind == "none":
        pytest.skip("nothing is confined: too many end the command")
    counted = [0]
    async with opened(SandboxSettings(kind=kind, processes=MOST)) as sandbox, anyio.create_task_group() as tasks:
        tasks.start_soon(
            partial(
                sandbox.run,
                ["/bin/bash", "-c", TREE.format(s=sleepers.seconds)],
                workdir=place / "work",
                workspace=place / "space",
                cwd=place / "work",
                env={},
                timeout_s=60,
                keep=1000,
                report=1,
            )
        )
        await sleepers.until(5)
        with anyio.move_on_after(1):
            while True:
                counted.append(len(descendants(sandbox.process_id)) - 1)  # the supervisor
                await anyio.sleep(0.005)
        tasks.cancel_scope.cancel()
    assert 5 <= max(counted) <= MOST
    assert not sleepers.running()


@pytest.mark.parametrize("killed", ["supervisor", "server"])
async def test_the_run_goes_on_without_them(
    llmos_system: MakeSystem, place: Path, killed: str, sleepers, until
) -> None:
    system = llmos_system(plugin, on_disk=True)
    outputs: list[str] = []

    async def bash(run: Run, command: str) -> None:
        call = ToolCall(id=f"{len(outputs)}", tool="Bash", input={"command": command})
        outputs.append((await run.call(call)).output)

    async def act(run: Run) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bash, run, f"setsid sleep {sleepers.seconds} & sleep {sleepers.seconds}")
            await sleepers.until(2)
            sandbox = await sandbox_of(run)
            victims = {"supervisor": children(sandbox.process_id), "server": [sandbox.process_id]}
            os.kill(victims[killed][0], signal.SIGKILL)
        await until(lambda: not sleepers.running())
        await bash(run, "echo on")

    await in_run(system, act)
    assert outputs[0].startswith("Exit code 1")
    assert outputs[1:] == ["on"]
    assert list((place / "temporary").iterdir()) == []


async def test_while_a_dead_sandbox_is_cleared_away_nobody_gets_it(run, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [SimpleNamespace(is_alive=alive) for alive in (False, False, True)]
    given = iter(answers)

    async def service(key: str, serve: object) -> object:
        return next(given)

    monkeypatch.setattr(run, "service", service)
    assert await sandbox_of(run) is answers[2]

"""What commands leave behind ends with them, however they end; so do the sandbox and what they use too much of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from llmos_plugin_tools.process import Finished
from llmos_plugin_tools.sandbox.service import Sandbox, opened
from llmos_plugin_tools.settings import SandboxSettings

ROUNDS = int(os.environ.get("LLMOS_FAULT_ROUNDS", "1"))
LONG = 100_000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

LEAVERS = {
    "background": "sleep {s} &",
    "setsid": "setsid sleep {s} &",
    "nohup": "nohup sleep {s} >/dev/null 2>&1 &",
    "disown": "sleep {s} & disown",
    "double fork": "(setsid sh -c 'sleep {s} & sleep {s} &' &)",
    "deaf": "(trap '' TERM HUP INT; setsid sleep {s} &)",
    "daemon": (
        '{py} -I -S -c \'import os; f = os.fork; f() or (os.setsid(), f() or os.execlp("sleep", "sleep", "{s}"))\''
    ),
    "without environment": "env -i setsid sleep {s} &",
    "closed": "setsid sleep {s} <&- >&- 2>&- &",
    "stopped": "sleep {s} & p=$!; until pgrep -fx 'sleep {s}' >/dev/null; do :; done; kill -STOP $p",
    "deep": 'sh -c \'sh -c "sh -c \\"setsid sleep {s} & wait\\" & wait" & wait\' &',
}


def running(seconds: int) -> list[int]:
    """The processes that sleep so long, zombies not among them."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended meanwhile
            if words[:2] == [b"sleep", str(seconds).encode()]:
                found.append(int(path.name))
    return found


def zombies() -> list[int]:
    """The children of this process that ended and were not waited for."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(child) for child in children if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2][1] == "Z"]


async def until_running(seconds: int) -> None:
    with anyio.fail_after(30):
        while not running(seconds):  # noqa: ASYNC110 - the system sends no event
            await anyio.sleep(0.005)


class Place:
    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.sandbox = sandbox
        self.workdir = root / "workspace/projects/default/output"
        self.workdir.mkdir(parents=True)

    async def run(self, command: str, timeout_s: float = 30) -> Finished:
        reader, writer = os.pipe()
        try:
            return await self.sandbox.run(
                ["/bin/bash", "-c", command],
                workdir=self.workdir,
                workspace=self.workdir.parents[2],
                cwd=self.workdir,
                env={},
                timeout_s=timeout_s,
                keep=100_000,
                report=writer,
            )
        finally:
            os.close(reader)
            os.close(writer)


@pytest.fixture(params=["none", "landlock", "bubblewrap"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        settings = SandboxSettings(kind=request.param, processes=60, memory_mb=300, file_mb=1)
        sandbox = await stack.enter_async_context(opened(settings))
        if sandbox.choice.kind is None:
            pytest.skip(sandbox.choice.why)
        yield Place(sandbox, tmp_path)


@pytest.mark.parametrize("name", LEAVERS)
async def test_nothing_outlives_a_command(place: Place, name: str) -> None:
    seconds = LONG + os.getpid()
    command = LEAVERS[name].format(s=seconds, py=sys.executable)
    finished = await place.run(f"{command}\nuntil pgrep -fx 'sleep {seconds}' >/dev/null; do :; done; echo done")
    assert finished.output.head == b"done\n"
    assert not running(seconds)


async def test_timeouts_and_interrupts_leave_nothing(place: Place) -> None:
    """Each ends within the promised 2 s, however often it happens; LLMOS_FAULT_ROUNDS says how often."""
    deaf = [name for name in LEAVERS if name not in ("stopped", "deaf")]
    seconds = LONG + os.getpid()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(2 * ROUNDS):
        left = LEAVERS[deaf[number // 2 % len(deaf)]].format(s=seconds, py=sys.executable)
        command = f"{left}\nsleep {seconds}"
        if number % 2:
            finished = await place.run(command, timeout_s=0.3)
            assert finished.timed_out
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(place.run, command)
                await until_running(seconds)
                interrupted = time.monotonic()
                tasks.cancel_scope.cancel()
            assert time.monotonic() - interrupted < 2
        assert not running(seconds)
        assert not zombies()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_the_end_of_the_sandbox_is_the_end_of_all(tmp_path: Path) -> None:
    async with opened(SandboxSettings()) as sandbox:
        own = sandbox.own
        (tmp_path / "x").mkdir()
        finished = await Place(sandbox, tmp_path / "x").run(
            'cd "$TMPDIR"; mkdir -p a/b "$HOME/c"; touch a/b/f; ln -s / l; chmod 0 a/b a; echo "$TMPDIR"'
        )
        assert finished.output.head.decode().strip() == str(own / "tmp") or sandbox.kind == "none"
        assert own.is_dir()
    assert not own.exists()
    assert Path("/usr").is_dir()


OWNER = """
import anyio, os, sys
from pathlib import Path
from llmos_plugin_tools.sandbox.service import opened
from llmos_plugin_tools.settings import SandboxSettings
async def main():
    async with opened(SandboxSettings()) as sandbox:
        print(sandbox.own, flush=True)
        root = Path(sys.argv[1])
        command = ["/bin/bash", "-c", f"setsid sleep {sys.argv[2]} & sleep {sys.argv[2]}"]
        await sandbox.run(command, workdir=root / "work", workspace=root / "space", cwd=root / "work", env={},
                          timeout_s=60, keep=100, report=os.pipe()[1])
anyio.run(main)
"""


async def test_when_we_are_killed_commands_end_and_nothing_is_left(tmp_path: Path) -> None:
    seconds = LONG + os.getpid()
    for name in ("work", "space"):
        (tmp_path / name).mkdir()
    arguments = [sys.executable, "-c", OWNER, str(tmp_path), str(seconds)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as owner:  # noqa: ASYNC220 - it says one line at once
        assert owner.stdout is not None
        own = Path(owner.stdout.readline().decode().strip())
        await until_running(seconds)
        owner.kill()
    with anyio.fail_after(10):
        while running(seconds) or own.exists():  # noqa: ASYNC110 - nobody is left to tell
            await anyio.sleep(0.01)


async def test_a_supervisor_that_is_killed_is_a_killed_command(place: Place) -> None:
    seconds = LONG + os.getpid()
    async with anyio.create_task_group() as tasks:
        found: list[Finished] = []

        async def run() -> None:
            found.append(await place.run(f"setsid sleep {seconds} & sleep {seconds}"))

        tasks.start_soon(run)
        await until_running(seconds)
        server = place.sandbox.process_id
        supervisor = int(Path(f"/proc/{server}/task/{server}/children").read_text().split()[0])
        os.kill(supervisor, signal.SIGKILL)
    assert found[0].exit_code == 137
    with anyio.fail_after(10):
        while running(seconds):  # noqa: ASYNC110 - nobody is left to tell
            await anyio.sleep(0.01)
    assert (await place.run("echo on")).output.head == b"on\n"


async def test_no_more_processes_than_are_allowed(place: Place) -> None:
    """A bomb, but one that ends at 2**8 processes of its own: it must not depend on us that it does."""
    bomb = "f() { (( $1 > 6 )) || { f $(($1 + 1)) & f $(($1 + 1)) & sleep 1000; }; }; f 0; sleep 1000"
    finished = await place.run(f"{bomb}", timeout_s=3)
    if place.sandbox.kind == "none":
        assert (finished.stopped, finished.exit_code) == ("processes", 137)
    else:
        assert b"Resource temporarily unavailable" in finished.output.head
    assert not running(1000)


async def test_too_much_memory_ends_the_command_or_is_not_given(place: Place) -> None:
    one = await place.run(f"{sys.executable} -I -S -c 'x = bytearray(400 << 20)' 2>&1")
    assert b"MemoryError" in one.output.head
    each = f"{sys.executable} -I -S -c 'import time; x = b\"x\" * (120 << 20); time.sleep(100)'"
    many = await place.run(f"{each} & {each} & {each} & wait")
    assert many.stopped == "memory"


async def test_files_and_dumps_are_bounded(place: Place) -> None:
    finished = await place.run("{ head -c 3000000 /dev/zero > f; } 2>&-; echo $?; stat -c %s f; ulimit -Hc; ulimit -Hn")
    assert finished.output.head.split() == [b"153", b"1048576", b"0", b"1024"]

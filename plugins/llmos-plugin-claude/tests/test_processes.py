"""The processes of a CLI are found by their mark, with what they have started, and ended."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from llmos_plugin_claude.sdk import processes

MARK = "LLMOS_TEST_MARK"
STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 1000; done'
PARENT = "env -i sh -c 'echo ready; sleep 1000' & wait"

Start = Callable[[str, str], "subprocess.Popen[str]"]


@pytest.fixture
def value() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def start(value: str) -> Iterator[Start]:
    """Starts a shell script with a mark, and waits until it is ready."""
    with ExitStack() as started:

        def run(script: str, mark: str) -> subprocess.Popen[str]:
            process = started.enter_context(
                subprocess.Popen(
                    ["sh", "-c", script],
                    env={"PATH": os.environ["PATH"], MARK: mark},
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
            started.callback(_kill, process)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield run


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return


def commands(value: str) -> list[str]:
    return sorted(Path(f"/proc/{process}/comm").read_text().strip() for process in processes.living(MARK, value))


async def test_what_a_marked_process_has_started_is_found_without_a_mark(start: Start, value: str) -> None:
    start(PARENT, value)
    start("echo ready; sleep 1000", value + "0")
    with anyio.fail_after(20):
        while commands(value) != ["sh", "sh", "sleep"]:  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.01)
    await processes.end(MARK, value)
    assert processes.living(MARK, value) == set()
    assert processes.living(MARK, value + "0") != set()


async def test_one_that_does_not_want_to_leave_is_killed(
    start: Start, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.2)
    process = start(STUBBORN, value)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await processes.end(MARK, value)
    assert process.wait(20) == -9
    assert processes.living(MARK, value) == set()


async def test_the_end_of_our_own_child_is_noticed(start: Start, value: str) -> None:
    process = start("echo ready; exec sleep 1000", value)
    ended = anyio.Event()

    async def wait() -> None:
        await processes.exit_of_child(MARK, value)
        ended.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            with anyio.move_on_after(0.2):
                await ended.wait()
            assert not ended.is_set()
            process.kill()
            await ended.wait()


def test_this_process_is_never_among_them(value: str) -> None:
    name, own = next(iter(os.environ.items()))
    assert os.getpid() not in processes.living(name, own)

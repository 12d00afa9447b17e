"""What a command costs in the sandbox: ``true``, started as any program is and by a run's sandbox of each kind."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from llmos_plugin_tools.sandbox.service import Sandbox, opened
from llmos_plugin_tools.settings import SandboxSettings

COMMAND = ["/bin/true"]
RUNS = 100
PLAIN = "a plain `true`"
KINDS = {"none": "confined by nothing", "landlock": "Landlock", "bubblewrap": "bubblewrap"}


async def _confined(sandbox: Sandbox, folder: Path, report: int) -> None:
    places = {"workdir": folder / "work", "workspace": folder / "workspace", "cwd": folder / "work"}
    finished = await sandbox.run(COMMAND, **places, env={}, timeout_s=60, keep=1000, report=report)
    assert finished.exit_code == 0, finished.output.head


async def _plain() -> None:
    await anyio.run_process(COMMAND)


@asynccontextmanager
async def _ways(folder: Path) -> AsyncIterator[Mapping[str, Callable[[], Awaitable[None]]]]:
    """How the command can be started here, by name."""
    for name in ("work", "workspace"):
        (folder / name).mkdir()
    async with AsyncExitStack() as stack:
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        ways: dict[str, Callable[[], Awaitable[None]]] = {PLAIN: _plain}
        for kind, name in KINDS.items():
            sandbox = await stack.enter_async_context(opened(SandboxSettings(kind=kind)))  # type: ignore[arg-type]
            if sandbox.choice.kind is not None:
                ways[name] = partial(_confined, sandbox, folder, writer)
        yield ways


async def measure(folder: Path, runs: int) -> Mapping[str, list[float]]:
    """Seconds of each, in turn after a warm-up."""
    taken: dict[str, list[float]] = {}
    async with _ways(folder) as ways:
        for number in range(runs + 3):
            for name, way in ways.items():
                started = time.perf_counter()
                await way()
                if number >= 3:
                    taken.setdefault(name, []).append(time.perf_counter() - started)
    return taken


def report(runs: int = RUNS) -> Iterator[str]:
    if sys.platform != "linux":
        yield "Skipped: sandboxes need Linux."
        return
    with TemporaryDirectory() as folder:
        taken = anyio.run(measure, Path(folder), runs)
    base = statistics.median(taken[PLAIN])
    yield "| command | wall, median | ratio | wall, least |"
    yield "|---|---|---|---|"
    for name, times in taken.items():
        median = statistics.median(times)
        yield f"| {name} | {1000 * median:.1f} ms | {median / base:.1f} | {1000 * min(times):.1f} ms |"
    for kind, name in KINDS.items():
        if name not in taken:
            yield f"\nNot measured: {kind} does not work here."


if __name__ == "__main__":
    print(*report(), sep="\n")

"""A Run reduced to what tools use, and a way to call a tool by name as the kernel does."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import create_task_group
from anyio.abc import TaskGroup

from llmos_core import Serve, Task, ToolResult
from llmos_plugin_tools import plugin
from llmos_plugin_tools.settings import ToolsSettings

Call = Callable[..., Awaitable[ToolResult]]


@dataclass
class FakeRun:
    workdir: Path
    workspace: Path
    tools_settings: ToolsSettings = field(default_factory=ToolsSettings)
    state: dict[str, Any] = field(default_factory=dict)
    task: Task = field(default_factory=lambda: Task(goal="Work."))
    services: dict[str, Any] = field(default_factory=dict)
    tasks: TaskGroup | None = None
    is_offline: bool = False
    is_copy: bool = False

    def go_offline(self) -> None:
        self.is_offline = True

    def settings(self, kind: type) -> ToolsSettings:
        assert kind is ToolsSettings
        return self.tools_settings

    async def service(self, key: str, serve: Serve) -> Any:
        """As a run of the kernel has it, but for one that is asked for twice at once."""
        if key not in self.services:
            assert self.tasks is not None
            self.services[key] = await self.tasks.start(serve)
        return self.services[key]


class Sleepers:
    """Processes that sleep for a time that nobody else names, so that they are known wherever they went."""

    seconds = 100_000 + os.getpid()

    def running(self) -> list[int]:
        """Those that sleep now, zombies not among them."""
        words = f"sleep\0{self.seconds}\0".encode()
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _command(path) == words]

    async def until(self, count: int) -> None:
        """Wait until at least so many sleep."""
        await _until(lambda: len(self.running()) >= count)


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""  # it ended meanwhile


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for what sends no event."""
    return _until


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    yield Sleepers()
    for process in Sleepers().running():  # what a failing test leaves
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    workspace = tmp_path / "workspace"
    workdir = workspace / "projects" / "default" / "output"
    workdir.mkdir(parents=True)
    for name in ("memories", "state"):
        (workspace / name).mkdir()
        (workspace / name / "secret.md").write_text("needle\n")
    (tmp_path / "outside.txt").write_text("needle\n")
    return FakeRun(workdir, workspace)


@pytest.fixture
def work(run: FakeRun) -> Path:
    return run.workdir


@pytest.fixture
async def call(run: FakeRun) -> AsyncIterator[Call]:
    tools = {tool.name: tool for tool in plugin.llmos_tools()}

    async def call(name: str, **input: Any) -> ToolResult:
        tool = tools[name]
        return await tool.run(tool.input_model.model_validate(input), run)

    async with create_task_group() as run.tasks:
        yield call
        run.tasks.cancel_scope.cancel()

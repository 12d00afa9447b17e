"""A Run reduced to what tools use, and a way to call a tool by name as the kernel does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def settings(self, kind: type) -> ToolsSettings:
        assert kind is ToolsSettings
        return self.tools_settings

    async def service(self, key: str, serve: Serve) -> Any:
        """As a run of the kernel has it, but for one that is asked for twice at once."""
        if key not in self.services:
            assert self.tasks is not None
            self.services[key] = await self.tasks.start(serve)
        return self.services[key]


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

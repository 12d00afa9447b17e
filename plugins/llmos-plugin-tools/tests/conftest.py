"""A Run reduced to what tools use, and a way to call a tool by name as the kernel does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmos_core import Task, ToolResult
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

    def settings(self, kind: type) -> ToolsSettings:
        assert kind is ToolsSettings
        return self.tools_settings


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
def call(run: FakeRun) -> Call:
    tools = {tool.name: tool for tool in plugin.llmos_tools()}

    async def call(name: str, **input: Any) -> ToolResult:
        tool = tools[name]
        return await tool.run(tool.input_model.model_validate(input), run)

    return call

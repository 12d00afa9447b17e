"""A system with the real tools, memory, trace and follower plugins; only the Learner is a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import llmos_plugin_follower.plugin
import llmos_plugin_memory.plugin
import llmos_plugin_tools.plugin
import llmos_plugin_trace.plugin
from llmos_core import LLMOS, Bid, Result, Run, Task, ToolCall
from llmos_core.host.settings import Settings, SettingsFile
from tests.parts import Parts

GOAL = "Write a greeting and show it"
STEPS = (
    ("Write", {"file_path": "hello.txt", "content": "hello\n"}),
    ("Bash", {"command": "cat hello.txt"}),
)

Boot = Callable[..., AbstractAsyncContextManager[LLMOS]]


class ScriptedLearner:
    """Makes the given tool calls, then answers with the output of the last."""

    name = "LEARNER"
    learns = True

    def __init__(self, steps: Any = STEPS, *, success: bool = True, answer: str | None = None) -> None:
        self.steps = steps
        self.success = success
        self.answer = answer
        self.runs = 0

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=0.95, cost_usd=0.5, reason="novel")

    async def run(self, task: Task, run: Run) -> Result:
        self.runs += 1
        output = ""
        for number, (tool, arguments) in enumerate(self.steps, 1):
            filled = {key: _fill(value, run) for key, value in arguments.items()}
            output = (await run.call(ToolCall(id=f"call-{number}", tool=tool, input=filled))).output
        return Result(success=self.success, output=self.answer or output)


def _fill(value: Any, run: Run) -> Any:
    if not isinstance(value, str):
        return value
    return value.replace("@workdir", str(run.workdir)).replace("@workspace", str(run.workspace))


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's data directory is that of the test: the key that seals traces lies there."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    """Boots a system on a workspace; each call is a new process as far as memory is concerned."""

    @asynccontextmanager
    async def make(
        learner: Any = None, *, workspace: Path | None = None, more: Any = None, confined: bool = True, **hooks: Any
    ) -> AsyncIterator[LLMOS]:
        plugins = {
            "tools": llmos_plugin_tools.plugin,
            "memory": llmos_plugin_memory.plugin,
            "trace": llmos_plugin_trace.plugin,
            "follower": llmos_plugin_follower.plugin,
            "parts": Parts(strategies=[learner] if learner else [], **hooks),
            **(more or {}),
        }
        root = workspace or tmp_path / "space"
        tables = {} if confined else {"tools": {"sandbox": {"kind": "none"}}}
        file = SettingsFile(settings=Settings(plugins=tables))
        async with LLMOS(root, settings=file, discover=False, plugins=plugins) as system:
            yield system

    return make

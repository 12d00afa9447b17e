"""Parts for these tests: answers, questions, and systems in which every call of the shell needs a yes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict

import llmos_plugin_approvals.plugin
from llmos_core import LLMOS, Effect, Run, SettingsFile, ToolCall, ToolResult, Verdict, exact_call
from llmos_plugin_approvals.store import Answer, Asked
from llmos_testkit import Script, make_plugin

GOAL = "Push the branch"
WORKDIR = "/srv/work"


@pytest.fixture(autouse=True)
def _home(llmos_home: Path) -> None:
    """The user's own directory is that of the test: the key lies there."""


class ShellInput(BaseModel):
    model_config = ConfigDict(extra="allow")

    command: str


class Shell:
    """A shell that only says what it would run."""

    name = "Bash"
    description = "Says the command."
    input_model = ShellInput

    def __init__(self) -> None:
        self.ran: list[str] = []

    def effect(self, input: ShellInput) -> Effect:
        return "external"

    async def run(self, input: ShellInput, run: Run) -> ToolResult:
        self.ran.append(input.command)
        return ToolResult(output=input.command)


async def ask_first(call: ToolCall) -> Verdict | None:
    return Verdict.ask("is that wise?", "test.shell") if call.tool == "Bash" else None


def commands(*wanted: str) -> Callable[[Run], Any]:
    """What makes these calls, whatever becomes of them; gives what was said to each."""

    async def act(run: Run) -> str:
        outputs = []
        for number, command in enumerate(wanted, 1):
            call = ToolCall(id=f"call-{number}", tool="Bash", input={"command": command})
            outputs.append((await run.call(call)).output)
            await anyio.lowlevel.checkpoint()
        return " | ".join(outputs)

    return act


Boot = Callable[..., AbstractAsyncContextManager[LLMOS]]


@pytest.fixture
def shell() -> Shell:
    return Shell()


@pytest.fixture
def boot(tmp_path: Path, shell: Shell) -> Boot:
    """Boots a system on the test's workspace, as another process would; ``act`` is what its runs do."""

    @asynccontextmanager
    async def make(act: Any, more: Mapping[str, object] | None = None, mode: str = "SCRIPT") -> AsyncIterator[LLMOS]:
        script = Script(act)
        script.name = mode
        parts = make_plugin(tools=[shell], strategies=[script], llmos_pre_tool_use=ask_first)
        plugins = {**(more or {}), "approvals": llmos_plugin_approvals.plugin, "parts": parts}
        async with LLMOS(tmp_path / "workspace", settings=SettingsFile(), discover=False, plugins=plugins) as system:
            yield system

    return make


def call(command: str = "git push", tool: str = "Bash", **more: Any) -> ToolCall:
    return ToolCall(id="call-1", tool=tool, input={"command": command, **more})


def question(asked: ToolCall | None = None, **changed: Any) -> Asked:
    """A question; what is not given is as in every other."""
    asked = asked or call()
    fields: dict[str, Any] = {
        "project": "default",
        "directory": "",
        "goal": GOAL,
        "run_id": "run-2",
        "call": asked,
        "exact": exact_call(asked, Path(WORKDIR)),
    }
    return Asked(**{**fields, **changed})


def answer(asked: ToolCall | None = None, number: int = 1, **changed: Any) -> Answer:
    """An answer; the higher its number, the newer it is."""
    asked = asked or call()
    fields: dict[str, Any] = {
        "scope": "once",
        "allowed": True,
        "project": "default",
        "directory": "",
        "goal": GOAL,
        "run_id": "run-1",
        "call_id": f"call-{number}",
        "tool": asked.tool,
        "input": asked.input,
        "exact": exact_call(asked, Path(WORKDIR)),
        "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
    }
    return Answer(**{**fields, **changed})

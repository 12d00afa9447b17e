"""A system with the small server of these tests, whose tools are known to it as they are to a user's system."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import llmos_plugin_follower.plugin
import llmos_plugin_mcp.plugin
import llmos_plugin_memory.plugin
import llmos_plugin_trace.plugin
from llmos_core import LLMOS, Bid, Result, Run, SettingsFile, Task, ToolCall, ToolResult, hookimpl
from llmos_plugin_mcp import kept
from llmos_plugin_mcp.kept import Listing
from llmos_plugin_mcp.look import look_at
from llmos_plugin_mcp.settings import Server

SERVER = Path(__file__).parent / "server.py"

Boot = Callable[..., AbstractAsyncContextManager[LLMOS]]
Act = Callable[[Run], Any]


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data and configuration, in directories of the test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "data"


def small(**more: Any) -> dict[str, Any]:
    """The settings of the small server; it knows the directory of the test, so that it can be found."""
    env = {"TEST_HOME": os.environ["XDG_DATA_HOME"], **more.pop("env", {})}
    return {"command": sys.executable, "args": [str(SERVER)], "env": env, "timeout_s": 30, **more}


def server(**more: Any) -> Server:
    return Server.model_validate(small(**more))


class Script:
    """A Learner that is a function of the run."""

    name = "LEARNER"
    learns = True

    def __init__(self, act: Act) -> None:
        self.act = act
        self.runs = 0

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=0.95, cost_usd=0.5, reason="scripted")

    async def run(self, task: Task, run: Run) -> Result:
        self.runs += 1
        return Result(success=True, output=str(await self.act(run)))


class Parts:
    def __init__(self, strategy: Script) -> None:
        self._strategy = strategy

    @hookimpl
    def llmos_strategies(self) -> list[Script]:
        return [self._strategy]


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """The tools of the small server, looked at once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("seen")))
        listing = look_at({"s": server()})["s"]
    assert isinstance(listing, Listing), listing
    return listing


@pytest.fixture
def boot(tmp_path: Path, seen: Listing) -> Boot:
    """Boots a system with these servers on a workspace, or in memory; only the Learner is a script.

    Unless they are ``unseen``, the tools of the servers are kept already.
    """

    @asynccontextmanager
    async def make(
        act: Act | Script,
        *,
        in_memory: bool = False,
        unseen: bool = False,
        max_output_chars: int = 30_000,
        **servers: Mapping[str, Any],
    ) -> AsyncIterator[LLMOS]:
        for name, each in servers.items():
            if not unseen:
                kept.save(name, Server.model_validate(each), seen)
        ours = {"max_output_chars": max_output_chars, "servers": servers}
        table = {"plugins": {"mcp": ours}, "limits": {"plugin_timeout_s": 120}}
        settings = SettingsFile(files=(("config.toml", table),))
        plugins = {
            "mcp": llmos_plugin_mcp.plugin,
            "memory": llmos_plugin_memory.plugin,
            "trace": llmos_plugin_trace.plugin,
            "follower": llmos_plugin_follower.plugin,
            "parts": Parts(act if isinstance(act, Script) else Script(act)),
        }
        system = (
            LLMOS.in_memory(settings=settings, plugins=plugins)
            if in_memory
            else LLMOS(tmp_path / "space", settings=settings, discover=False, plugins=plugins)
        )
        async with system:
            yield system

    return make


@pytest.fixture
def results() -> list[ToolResult]:
    return []


def calls(*wanted: tuple[str, dict[str, Any]], into: list[ToolResult]) -> Act:
    """Makes the calls one after the other, and keeps the results."""

    async def act(run: Run) -> str:
        for number, (tool, input) in enumerate(wanted, 1):
            into.append(await run.call(ToolCall(id=f"call-{number}", tool=tool, input=input)))
        return into[-1].output

    return act


def alive(directory: Path) -> list[str]:
    """The commands of processes that know this directory from their environment."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it ended, or is none of ours
            if process.name.isdigit() and str(directory).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return [command for command in found if "pytest" not in command]


def wait_for(condition: Callable[[], Any], patience_s: float = 30.0) -> Any:
    """What the condition gives, once it is true."""
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
    return value

"""A whole system in one place: real kernel, tools, SDK and CLI; only the model's server is a script."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from claude_agent_sdk import __file__ as sdk

import llmos_plugin_claude.plugin
import llmos_plugin_memory.plugin
import llmos_plugin_tools.plugin
import llmos_plugin_trace.plugin
from llmos_core import LLMOS, AnyEvent, ModelUsed, Outcome
from llmos_core.host.settings import Settings, SettingsFile
from llmos_testkit import ModelServer, Received, Response, serving
from llmos_testkit.model_server import Handler

MODEL = "local-1"
KEY = "sk-ant-a-key-that-is-long-enough"
BUNDLED = Path(sdk).parent / "_bundled" / "claude"


@asynccontextmanager
async def house(
    root: Path,
    handler: Handler,
    *,
    claude: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    hooks: Any = None,
) -> AsyncIterator[tuple[LLMOS, ModelServer]]:
    """A booted system before a scripted model, whose tokens cost money. The environment is the caller's to set."""
    table = {"max_retries": 0, "model": MODEL, **(claude or {})}
    settings = Settings.model_validate(
        {"plugins": {"claude": table}, "limits": limits or {}, "prices": {MODEL: {"input": 100, "output": 1000}}}
    )
    plugins = {
        "claude": llmos_plugin_claude.plugin,
        "tools": llmos_plugin_tools.plugin,
        "memory": llmos_plugin_memory.plugin,
        "trace": llmos_plugin_trace.plugin,
        **({"hooks": hooks} if hooks else {}),
    }
    async with serving(handler) as upstream:
        if os.environ.get("ANTHROPIC_BASE_URL") == "scripted":
            os.environ["ANTHROPIC_BASE_URL"] = upstream.url
        try:
            file = SettingsFile(settings=settings)
            async with LLMOS(root, settings=file, discover=False, plugins=plugins) as system:
                yield system, upstream
        finally:
            if os.environ.get("ANTHROPIC_BASE_URL") == upstream.url:
                os.environ["ANTHROPIC_BASE_URL"] = "scripted"


async def run_in(system: LLMOS, goal: str = "Do something.", **fields: Any) -> tuple[Outcome, list[AnyEvent]]:
    """Run a goal; gives the outcome and the events."""
    events: list[AnyEvent] = []
    outcome = await system.execute(goal, mode="learner", on_event=events.append, **fields)
    return outcome, events


def spent(events: list[AnyEvent]) -> float:
    """What the requests cost, summed up."""
    return round(sum(event.cost_usd for event in events if isinstance(event, ModelUsed)), 6)


def own_cli(place: Path, *, before: str = "", version: str | None = None) -> Path:
    """A CLI of one's own: the real one, started by a shell script that does something before."""
    told = f'echo "{version}"; exit' if version is not None else ":"
    script = f'#!/bin/sh\nif [ "$1" = --version ]; then {told}; fi\n{before}\nexec "{BUNDLED}" "$@"\n'
    path = place / "own-claude"
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def marked(mark: str) -> dict[int, str]:
    """The processes with this text in their environment, and their command lines."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes() and place.name != str(os.getpid()):
                found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


class Belongings:
    """What this process holds; ``left`` is what has come since and is still there."""

    def __init__(self, temporary: Path) -> None:
        self._temporary = temporary
        self._threads = set(threading.enumerate())
        self._sockets = self._open()

    def left(self) -> dict[str, Any]:
        held = {
            "processes": marked(f"CLAUDE_CONFIG_DIR={self._temporary}"),
            "threads": {thread for thread in set(threading.enumerate()) - self._threads if _stays(thread)},
            "descriptors": {name for name in self._open() if self._open().count(name) > self._sockets.count(name)},
            "files": sorted(path.name for path in self._temporary.iterdir()),
        }
        return {kind: things for kind, things in held.items() if things}

    @staticmethod
    def _open() -> list[str]:
        found = []
        for number in Path("/proc/self/fd").iterdir():
            try:
                target = str(number.readlink())
            except OSError:
                continue
            # Sockets and pipes have numbers of their own: what counts is how many there are.
            found.append(target.partition(":")[0] if target.startswith(("socket", "pipe", "anon")) else target)
        return found


def _stays(thread: threading.Thread) -> bool:
    """Whether a thread goes on; those that a loop kept for its work are told to end with it, and take a moment."""
    thread.join(5)
    return thread.is_alive()


def after_one_turn(then: Handler, first: Handler) -> Handler:
    """A model that answers once, for money, and is then asked in vain."""

    async def answer(received: Received, response: Response) -> None:
        turn = received.turn if received.method == "POST" else 0
        await (first if turn == 0 else then)(received, response)

    return answer

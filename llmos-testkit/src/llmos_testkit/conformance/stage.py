"""A real run to check things in: a system with its own workspace, a scripted model, and a strategy that waits."""

from __future__ import annotations

import hashlib
import json
import os
import re
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
from pydantic import BaseModel, ConfigDict

from llmos_core import (
    LLMOS,
    AnyEvent,
    Bid,
    Billing,
    Effect,
    ModelReply,
    ModelRequest,
    Outcome,
    Result,
    Run,
    Strategy,
    Task,
    ToolResult,
    hookimpl,
    load_settings,
)

MODE = "CONFORMANCE"
GOAL = "Say hello to the conformance kit."
_PUBLIC = frozenset(name for name in dir(Run) if not name.startswith("_"))


class NotPublicError(Exception):
    """Something outside the Run's contract was asked for."""


class PublicRun:
    """A run that knows nothing but its contract."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        if name not in _PUBLIC:
            raise NotPublicError(f"run.{name} is no part of the contract")
        return getattr(self._run, name)


class ProbeInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = ""


class Probe:
    """A tool that counts its calls."""

    name = "Probe"
    description = "Gives the text back."
    input_model: type[BaseModel] = ProbeInput

    def __init__(self) -> None:
        self.ran = 0

    def effect(self, input: ProbeInput) -> Effect:
        return "pure"

    async def run(self, input: ProbeInput, run: Run) -> ToolResult:
        self.ran += 1
        return ToolResult(output=input.text)


class Model:
    """A model that says one thing, and counts its requests. With ``silent`` it begins, and says nothing more."""

    name = "conformance"
    billing: Billing = "free"
    fallback = False

    def __init__(self, *, silent: bool = False) -> None:
        self.asked = 0
        self.reached = anyio.Event()
        self._silent = silent

    def unready(self) -> str | None:
        return None

    def notices(self) -> Sequence[str]:
        return ()

    def secrets(self) -> Sequence[str]:
        return ()

    def check(self, task: Task, run: Run) -> None:
        return None

    def priced(self, model: str, run: Run) -> bool:
        return False

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        self.asked += 1
        self.reached.set()
        if self._silent:
            await anyio.sleep_forever()
        if request.message.get("stream"):
            yield ModelReply(200, _chunks(_events()))
        else:
            data = [json.dumps(_message("Done.", 2)).encode()]
            yield ModelReply(200, _chunks(data), (("content-type", "application/json"),))


def _message(text: str, tokens: int) -> dict[str, Any]:
    return {
        "id": "msg_conformance",
        "type": "message",
        "role": "assistant",
        "model": "conformance",
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": "end_turn" if text else None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": tokens},
    }


def _events() -> Iterable[bytes]:
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Done."}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
    for event in (
        {"type": "message_start", "message": _message("", 1)},
        block,
        delta,
        {"type": "content_block_stop", "index": 0},
        end,
        {"type": "message_stop"},
    ):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


async def _chunks(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        await anyio.lowlevel.checkpoint()
        yield part


class Kit:
    """The kit's own plugin: a tool, a model, and the strategies it is given."""

    def __init__(self, strategies: Sequence[Strategy] = (), model: Model | None = None) -> None:
        self.probe = Probe()
        self.model = model or Model()
        self._strategies = strategies

    @hookimpl
    def llmos_tools(self) -> Sequence[Probe]:
        return [self.probe]

    @hookimpl
    def llmos_models(self) -> Sequence[Model]:
        return [self.model]

    @hookimpl
    def llmos_strategies(self) -> Sequence[Strategy]:
        return self._strategies


class _Holding:
    """The strategy that holds a run open for a check."""

    name = MODE
    learns = False

    def __init__(self, check: Callable[[Run], Awaitable[None]]) -> None:
        self._check = check

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=1.0, reason="it was asked for")

    async def run(self, task: Task, run: Run) -> Result:
        await self._check(run)
        return Result(success=True)


def without(plugin: object, *hooks: str) -> object:
    """A plugin without some of its hooks: what they would bring is given in another way."""
    names = [name for name in dir(plugin) if name.startswith("llmos_") and name not in hooks]
    return types.SimpleNamespace(**{name: getattr(plugin, name) for name in names})


def system_in(place: Path, plugins: Mapping[str, object]) -> LLMOS:
    """A system with a workspace in ``place`` and these plugins alone; the kit's model answers, if there is one."""
    root = place / "workspace"
    root.mkdir(exist_ok=True)
    kit = any(isinstance(plugin, Kit) for plugin in plugins.values())
    (place / "llmos.toml").touch()  # none above it counts
    environ = {**os.environ, **({"LLMOS_PROVIDER": "conformance"} if kit else {})}
    return LLMOS(root, settings=load_settings(place, environ), discover=False, plugins=plugins)


@asynccontextmanager
async def stage(
    place: Path, plugins: Mapping[str, object] | None = None, task: Task | None = None
) -> AsyncIterator[Run]:
    """A run that is under way, in a new system: everything of the contract works in it, and nothing else."""
    ready, done = anyio.Event(), anyio.Event()
    runs: list[Run] = []

    async def hold(run: Run) -> None:
        runs.append(run)
        ready.set()
        await done.wait()

    system = system_in(place, {"conformance-kit": Kit([_Holding(hold)]), **(plugins or {})})
    wanted = (task or Task(goal=GOAL)).model_copy(update={"mode": MODE, "continues": None})
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_to_the_end, system, wanted, ready)
            await ready.wait()
            if runs:
                try:
                    yield cast("Run", PublicRun(runs[0]))
                finally:
                    done.set()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


async def _to_the_end(system: LLMOS, task: Task, ready: anyio.Event) -> Outcome:
    try:
        return await system.execute_task(task)
    finally:
        ready.set()


async def history(run: Run) -> list[AnyEvent]:
    """The events of a run so far."""
    return [event async for event in run.history()]


def tree(root: Path) -> dict[str, str]:
    """What lies below a directory, but for what the core itself keeps there: each path with its kind and contents."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if _of_the_core(name):
            continue
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "directory"
    return found


_CORE = re.compile(r"(^|/)(workspace/(memories(/sessions.*)?$|state(/|$)))|^home/(\.data$|.*llmos)")


def _of_the_core(name: str) -> bool:
    return _CORE.search(name) is not None


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The paths in which two states differ."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))

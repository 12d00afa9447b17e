"""``llmos feedback``: a bad word stops a trace from being followed, a good one lets it be followed again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

import llmos_plugin_follower.plugin
import llmos_plugin_memory.plugin
import llmos_plugin_tools.plugin
import llmos_plugin_trace.plugin
from llmos_core import LLMOS, Bid, Result, Run, Task, ToolCall, hookimpl
from llmos_core.host.settings import SettingsFile

from .conftest import Llmos
from .worlds import happened, write

GOAL = "Write a greeting"
PLUGINS = {
    "tools": llmos_plugin_tools.plugin,
    "memory": llmos_plugin_memory.plugin,
    "trace": llmos_plugin_trace.plugin,
    "follower": llmos_plugin_follower.plugin,
}


class Learner:
    """Writes a file, as a model would have it."""

    name = "LEARNER"
    learns = True

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=0.95, cost_usd=0.5, reason="novel")

    async def run(self, task: Task, run: Run) -> Result:
        call = ToolCall(id="c1", tool="Write", input={"file_path": "hello.txt", "content": "hello\n"})
        return Result(success=True, output=(await run.call(call)).output)

    @hookimpl
    def llmos_strategies(self) -> Sequence[Any]:
        return [self]


@asynccontextmanager
async def booted(space: Path) -> AsyncIterator[LLMOS]:
    plugins = {**PLUGINS, "learner": Learner()}
    async with LLMOS(space, settings=SettingsFile(), discover=False, plugins=plugins) as system:
        yield system


async def refusals(system: LLMOS) -> list[str | None]:
    return [candidate.refused for candidate in (await system.explain(Task(goal=GOAL))).candidates]


async def test_the_last_word_decides_whether_a_trace_is_followed(space: Path, llmos: Llmos) -> None:
    async with booted(space) as system:
        learned = await system.execute(GOAL)
        assert (learned.mode, learned.followable) == ("LEARNER", True)
        followed = await system.execute(GOAL)
        assert followed.mode == "FOLLOWER"

        bad = await anyio.to_thread.run_sync(llmos, "feedback", "last", "bad", "it greets", "nobody")
        assert bad.returncode == 0, bad.stderr
        assert learned.trace_id
        assert learned.trace_version
        name = f"Trace {learned.trace_id[:8]}, version {learned.trace_version[:8]},"
        assert bad.stdout == f"{name} is not followed any more, until a run with it is called good.\n"
        assert await refusals(system) == [f"its user found run {followed.run_id} bad: it greets nobody"]
        assert (await system.execute(GOAL)).mode == "LEARNER"

        good = await anyio.to_thread.run_sync(llmos, "feedback", learned.run_id, "good")
        assert good.stdout == f"{name} may be followed.\n"
        assert None in await refusals(system)
        assert (await system.execute(GOAL)).mode == "FOLLOWER"


async def test_as_json(space: Path, llmos: Llmos) -> None:
    async with booted(space) as system:
        learned = await system.execute(GOAL)
    done = await anyio.to_thread.run_sync(llmos, "feedback", "last", "bad", "no", "--json")
    assert json.loads(done.stdout) == {
        "run_id": learned.run_id,
        "trace_id": learned.trace_id,
        "trace_version": learned.trace_version,
        "good": False,
        "text": "no",
        "followable": False,
        "refused": f"its user found run {learned.run_id} bad: no",
    }


async def test_a_good_word_makes_nothing_followable_that_was_not(space: Path, llmos: Llmos) -> None:
    class Failing(Learner):
        async def run(self, task: Task, run: Run) -> Result:
            return (await super().run(task, run)).model_copy(update={"success": False})

    plugins = {**PLUGINS, "learner": Failing()}
    async with LLMOS(space, settings=SettingsFile(), discover=False, plugins=plugins) as system:
        await system.execute(GOAL)
    done = await anyio.to_thread.run_sync(llmos, "feedback", "last", "good")
    assert "is not followed: the run failed" in done.stdout


async def test_the_trace_of_an_undone_run_stays(space: Path, llmos: Llmos) -> None:
    async with booted(space) as system:
        learned = await system.execute(GOAL)
        undone = await anyio.to_thread.run_sync(llmos, "undo", "last", "--yes")
        assert undone.returncode == 0, undone.stderr
        assert learned.trace_id
        told = f"Its trace {learned.trace_id[:8]} stays, and may be followed."
        assert f"{told} To stop that: llmos feedback {learned.run_id} bad" in undone.stderr
        assert not list((space / "projects/default/output").iterdir())
        assert (await system.execute(GOAL)).mode == "FOLLOWER"
    assert (space / "projects/default/output/hello.txt").exists()


def test_a_run_without_a_trace(space: Path, place: Path, llmos: Llmos) -> None:
    run_id = happened(space, place, lambda root: write(root / "a")).id
    done = llmos("feedback", "last", "bad")
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: Run {run_id} neither made nor followed a trace.\n")


def test_what_cannot_be_kept(space: Path, place: Path, llmos: Llmos) -> None:
    assert llmos("feedback", "last", "bad").returncode == 2
    assert llmos("feedback", "last", "so-so").returncode == 2
    assert "1,000 are kept" in llmos("feedback", "last", "bad", "x" * 1_001).stderr


def test_a_trace_that_is_gone(space: Path, llmos: Llmos) -> None:
    async def learn() -> str:
        async with booted(space) as system:
            return (await system.execute(GOAL)).run_id

    run_id = anyio.run(learn)
    for path in (space / "memories/traces").rglob("*.md"):
        path.unlink()
    done = llmos("feedback", "last", "bad")
    assert done.returncode == 2
    assert f"of run {run_id} is not kept any more." in done.stderr

"""Slots: never more at once than allowed, the most important next, and none is ever lost."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_core import LLMOS, Run, Task
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile
from llmos_core.kernel.slots import Slots
from tests.parts import Parts, Script


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await checkpoint()


async def test_the_most_important_is_next_and_of_equals_the_first() -> None:
    slots, order, release = Slots(1), [], anyio.Event()

    async def hold(name: str, priority: int) -> None:
        async with slots.taken(priority):
            order.append(name)
            await release.wait()

    async with anyio.create_task_group() as group:
        for name, priority in (("first", 0), ("low", 10), ("a", 50), ("b", 50), ("high", 90)):
            group.start_soon(hold, name, priority)
            await settle()
        assert order == ["first"]
        release.set()
    assert order == ["first", "high", "a", "b", "low"]


async def test_a_waiter_that_gives_up_takes_nothing_with_it() -> None:
    slots, order, release = Slots(1), [], anyio.Event()

    async def hold(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            async with slots.taken(50):
                order.append(name)
                await release.wait()

    scopes = {name: anyio.CancelScope() for name in "abc"}
    async with anyio.create_task_group() as group:
        for name, scope in scopes.items():
            group.start_soon(hold, name, scope)
            await settle()
        scopes["b"].cancel()
        await settle()
        release.set()
    assert order == ["a", "c"]
    with anyio.fail_after(5):
        async with slots.taken(0):
            pass


async def test_a_slot_given_to_one_that_is_cancelled_at_that_moment_is_passed_on() -> None:
    slots, release = Slots(1), anyio.Event()
    reached: list[str] = []

    async def hold(name: str, scope: anyio.CancelScope, until: anyio.Event) -> None:
        with scope:
            async with slots.taken(50):
                await until.wait()
                reached.append(name)

    second = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(hold, "a", anyio.CancelScope(), release)
        await settle()
        group.start_soon(hold, "b", second, release)
        group.start_soon(hold, "c", anyio.CancelScope(), release)
        await settle()
        slots._release()  # as the end of "a" does it; before "b" can run again, it is cancelled
        second.cancel()
        await settle()
        release.set()
    assert sorted(reached) == ["a", "c"]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 3),
    plans=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 6), st.integers(-1, 8)), max_size=10),
)
def test_no_slot_is_lost_and_none_is_invented(count: int, plans: list[tuple[int, int, int]]) -> None:
    """Tasks with a priority that hold for some steps, some of them cancelled after others."""

    async def main() -> None:
        slots, held, most = Slots(count), 0, 0

        async def hold(priority: int, steps: int, scope: anyio.CancelScope) -> None:
            nonlocal held, most
            with scope:
                async with slots.taken(priority):
                    held += 1
                    most = max(most, held)
                    try:
                        for _ in range(steps):
                            await checkpoint()
                    finally:
                        held -= 1

        async def cancel(after: int, scope: anyio.CancelScope) -> None:
            for _ in range(after):
                await checkpoint()
            scope.cancel()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for priority, steps, after in plans:
                    scope = anyio.CancelScope()
                    group.start_soon(hold, priority, steps, scope)
                    if after >= 0:
                        group.start_soon(cancel, after, scope)
        assert most <= count
        assert slots._free == count
        assert slots._waiting == []

    anyio.run(main)


def narrow(count: int) -> SettingsFile:
    return SettingsFile(settings=Settings(limits=LimitSettings(parallel_runs=count)))


async def test_a_task_within_a_task_needs_no_slot() -> None:
    async def act(run: Run) -> str:
        if run.task.goal == "3":
            return "deep"
        return (await run.execute(Task(goal=str(int(run.task.goal) + 1)))).output

    async with LLMOS.in_memory({"parts": Parts(strategies=[Script(act)])}, narrow(1)) as system:
        with anyio.fail_after(10):
            assert (await system.execute("0")).output == "deep"


@pytest.mark.parametrize("count", [1, 3])
async def test_a_system_runs_so_many_tasks_at_once_and_the_important_first(count: int) -> None:
    began: list[str] = []
    go_on = anyio.Event()

    async def act(run: Run) -> str:
        began.append(run.task.goal)
        await go_on.wait()
        return ""

    async with LLMOS.in_memory({"parts": Parts(strategies=[Script(act)])}, narrow(count)) as system:

        async def start(goal: str, **fields: Any) -> None:
            await system.execute(goal, **fields)

        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(start, f"early {number}")
            while len(began) < count:
                await checkpoint()
            for priority in (10, 90, 50):
                group.start_soon(partial_start(start, priority))
                await settle()
            assert len(began) == count
            go_on.set()
    assert sorted(began[:count]) == [f"early {number}" for number in range(count)]
    if count == 1:
        assert began[count:] == ["priority 90", "priority 50", "priority 10"]


def partial_start(start: Any, priority: int) -> Any:
    async def run() -> None:
        await start(f"priority {priority}", priority=priority)

    return run

"""Services of a run: started once, on first use; ended with the run; reported where they die."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from llmos_core import LLMOS, LLMOSError, Run
from llmos_core.events import Notice
from tests.parts import Parts, Script

pytestmark = pytest.mark.anyio


class Server:
    """A service that counts its starts and ends; it can be told to die."""

    def __init__(self, *, fails: bool = False) -> None:
        self.starts = 0
        self.ends = 0
        self.die = anyio.Event()
        self.fails = fails

    async def serve(self, *, task_status: TaskStatus[int]) -> None:
        self.starts += 1
        if self.fails and self.starts == 1:
            raise ValueError("no port is free")
        try:
            task_status.started(self.starts)
            await self.die.wait()
            raise ConnectionError("the wire is cut")
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                self.ends += 1


async def execute(act: Any) -> tuple[Any, list[str]]:
    notices: list[str] = []

    def note(event: object) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    async with LLMOS.in_memory({"parts": Parts(strategies=[Script(act)])}) as system:
        return await system.execute("serve", on_event=note), notices


async def test_it_is_started_once_and_ended_with_the_run() -> None:
    server, other = Server(), Server()

    async def act(run: Run) -> str:
        assert server.starts == 0
        values: list[int] = []

        async def use() -> None:
            values.append(await run.service("server", server.serve))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(use)
        await run.service("other", other.serve)
        assert (server.ends, other.ends) == (0, 0)
        return str(values)

    outcome, notices = await execute(act)
    assert outcome.output == "[1, 1, 1, 1, 1]"
    assert (server.starts, server.ends, other.starts, other.ends) == (1, 1, 1, 1)
    assert notices == []


async def test_what_cannot_start_is_an_error_of_the_caller_and_may_be_tried_again() -> None:
    server = Server(fails=True)

    async def act(run: Run) -> str:
        with pytest.raises(LLMOSError) as caught:
            await run.service("server", server.serve)
        assert caught.value.why == "ValueError: no port is free"
        return str(await run.service("server", server.serve))

    outcome, notices = await execute(act)
    assert outcome.output == "2"
    assert notices == []


async def test_what_dies_at_once_is_started_anew() -> None:
    starts: list[int] = []

    async def serve(*, task_status: TaskStatus[int]) -> None:
        starts.append(len(starts))
        task_status.started(len(starts))

    async def act(run: Run) -> str:
        return str(
            [await run.service("short", serve) for _ in range(2) if await anyio.wait_all_tasks_blocked() is None]
        )

    outcome, _ = await execute(act)
    assert outcome.output == "[1, 2]"


async def test_services_that_wait_for_each_other_are_an_error() -> None:
    async def act(run: Run) -> str:
        async def first(*, task_status: TaskStatus[None]) -> None:
            await run.service("second", second)

        async def second(*, task_status: TaskStatus[None]) -> None:
            await run.service("first", first)

        with pytest.raises(LLMOSError) as caught:
            await run.service("first", first)
        return caught.value.why

    with anyio.fail_after(20):
        outcome, _ = await execute(act)
    assert "first -> second -> first" in outcome.output


async def test_what_dies_is_reported_and_started_anew() -> None:
    server = Server()

    async def act(run: Run) -> str:
        await run.service("server", server.serve)
        server.die.set()
        await anyio.wait_all_tasks_blocked()
        server.die = anyio.Event()
        return str(await run.service("server", server.serve))

    outcome, notices = await execute(act)
    assert outcome.output == "2"
    assert notices == ["The service server failed (ConnectionError: the wire is cut)."]
    assert server.ends == 2


async def test_a_failing_and_a_cancelled_run_end_theirs_too() -> None:
    server = Server()

    async def fail(run: Run) -> str:
        await run.service("server", server.serve)
        raise ZeroDivisionError

    outcome, _ = await execute(fail)
    assert not outcome.success
    assert server.ends == 1

    async def wait(run: Run) -> str:
        await run.service("server", server.serve)
        await anyio.sleep_forever()
        return ""

    with anyio.move_on_after(0.2):
        await execute(wait)
    assert server.ends == 2


async def test_after_the_run_nothing_is_started() -> None:
    kept: list[Run] = []

    async def act(run: Run) -> str:
        kept.append(run)
        return ""

    await execute(act)
    with pytest.raises(LLMOSError, match="cannot be started"):
        await kept[0].service("server", Server().serve)

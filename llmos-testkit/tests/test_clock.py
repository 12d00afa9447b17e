"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import anyio
import pytest

from llmos_core import Run, clock
from llmos_testkit import FakeClock, MakeSystem, in_run, judge, make_plugin


def test_it_stands_still(fake_clock: FakeClock) -> None:
    begun = clock.now()
    assert clock.now() == begun == fake_clock.now()
    fake_clock.move(1, minutes=1, hours=1, days=1)
    assert clock.now() - begun == timedelta(days=1, hours=1, minutes=1, seconds=1)


def test_it_is_set(fake_clock: FakeClock) -> None:
    fake_clock.set(datetime(2031, 5, 6, 14, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2031, 5, 6, 12, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    with pytest.raises(ValueError, match="zone"):
        fake_clock.set(datetime(2031, 5, 6))
    with pytest.raises(ValueError, match="forward"):
        fake_clock.move(-1)


async def test_sleepers_wake_when_it_is_moved(fake_clock: FakeClock) -> None:
    woken: list[int] = []

    async def sleep(hours: int) -> None:
        await anyio.sleep(hours * 3600)
        woken.append(hours)

    async with anyio.create_task_group() as group:
        for hours in (2, 1, 3):
            group.start_soon(sleep, hours)
        await fake_clock.advance(minutes=59)
        assert woken == []
        await fake_clock.advance(minutes=1)
        assert woken == [1]
        await fake_clock.advance(hours=2)
        assert woken == [1, 2, 3]


async def test_deadlines_pass_when_it_is_moved(fake_clock: FakeClock) -> None:
    with anyio.move_on_after(3600) as scope:
        await asyncio.sleep(0)
        assert not scope.cancelled_caught
        fake_clock.move(hours=1)
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_guard_is_timed_out(fake_clock: FakeClock, llmos_system: MakeSystem) -> None:
    async def never(call: object) -> None:
        await anyio.sleep_forever()

    system = llmos_system(make_plugin(llmos_pre_tool_use=never), settings={"limits": {"guard_timeout_s": 500}})
    verdicts = []

    async def ask() -> None:
        verdicts.append(await judge(system, "Read"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await fake_clock.advance(499)
        assert verdicts == []
        await fake_clock.advance(1)
    assert "TimeoutError" in verdicts[0].reason


async def test_events_and_runs_have_its_time(fake_clock: FakeClock, llmos_system: MakeSystem) -> None:
    fake_clock.set(datetime(2031, 5, 6, 12, tzinfo=UTC))

    async def look(run: Run) -> tuple[str, list[datetime | None]]:
        return run.id, [event.at async for event in run.history()]

    run_id, times = await in_run(llmos_system(), look)
    assert set(times) == {datetime(2031, 5, 6, 12, tzinfo=UTC)}
    assert run_id.startswith("2031-05-06-")


def test_the_real_time_comes_back(request: pytest.FixtureRequest) -> None:
    from llmos_testkit.clock import clock_in_hand

    with clock_in_hand():
        assert clock.now().year == 2030
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    loop = asyncio.new_event_loop()
    first = loop.time()
    while loop.time() == first:
        pass
    loop.close()

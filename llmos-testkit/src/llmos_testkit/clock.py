"""A clock that stands still until a test moves it."""

from __future__ import annotations

from asyncio.base_events import BaseEventLoop
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import anyio.lowlevel
import pytest

import llmos_core

_TURNS = 20
"""More than it takes a task from a wake-up to its next wait. anyio's own wait for all tasks would itself sleep."""

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


class FakeClock:
    """The time, for the core and for asyncio, as a test tells it. It stands still unless it is moved.

    It is what :data:`llmos_core.clock` gives, so the time of events, traces and runs; and the time of every asyncio
    event loop of this process, so that sleeps, deadlines and timeouts of anyio pass when it is moved, and only then.
    Not moved are other programs, plugins that ask the system for the time themselves, ``time.sleep`` and threads.

    Example::

        fake_clock.set(datetime(2030, 1, 1, tzinfo=UTC))
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 3600)
            await fake_clock.advance(hours=1)

    """

    def __init__(self, loop_time: float) -> None:
        self._now = START
        self._loop_time = loop_time

    def now(self) -> datetime:
        """The time by this clock, aware, in UTC."""
        return self._now

    def loop_time(self) -> float:
        """What event loops take for the time, in seconds."""
        return self._loop_time

    def set(self, moment: datetime) -> None:
        """Say what time it is; event loops do not notice. Raises ValueError for a time without a zone."""
        if moment.tzinfo is None:
            raise ValueError("say of which zone the time is, for example tzinfo=UTC")
        self._now = moment.astimezone(UTC)

    def move(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0) -> None:
        """Let time pass; what has come due runs when the loop comes to it. Raises ValueError for a way back."""
        passed = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        if passed < timedelta():
            raise ValueError("time passes forward; set() says any time")
        self._now += passed
        self._loop_time += passed.total_seconds()

    async def advance(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Give other tasks some turns, let time pass, and give what has come due some turns."""
        await _settle()
        self.move(seconds, minutes=minutes, hours=hours, days=days)
        await _settle()


async def _settle() -> None:
    for _ in range(_TURNS):
        await anyio.lowlevel.checkpoint()


@contextmanager
def clock_in_hand() -> Iterator[FakeClock]:
    """A fake clock in the place of the real one, while the context is open."""
    import time

    clock = FakeClock(time.monotonic())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llmos_core.clock, "now", clock.now)
        patch.setattr(BaseEventLoop, "time", lambda _: clock.loop_time())
        yield clock

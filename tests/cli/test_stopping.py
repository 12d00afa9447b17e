"""Which signals end a run in good order, and which end everything at once."""

from __future__ import annotations

import signal

import anyio
import pytest

from llmos_core.cli import stopping


class Clock:
    """Stands for the module ``time``."""

    now = 1.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("numbers", "after_s", "ends"),
    [
        ((signal.SIGINT, signal.SIGINT), 0.05, False),
        ((signal.SIGINT, signal.SIGINT), 0.2, True),
        ((signal.SIGTERM, signal.SIGTERM), 0.05, False),
        ((signal.SIGHUP, signal.SIGTERM), 0.2, True),
        ((signal.SIGTERM, signal.SIGHUP), 0.2, False),
        ((signal.SIGHUP, signal.SIGHUP), 9.0, False),
    ],
)
async def test_two_signals(
    monkeypatch: pytest.MonkeyPatch, numbers: tuple[signal.Signals, ...], after_s: float, ends: bool
) -> None:
    clock, stopped, ended = Clock(), list[int](), list[bool]()
    monkeypatch.setattr(stopping, "time", clock)
    monkeypatch.setattr(stopping, "end_at_once", lambda: ended.append(True))
    before = [signal.getsignal(number) for number in numbers]
    with stopping.stop_signals(stopped.append):
        for number in numbers:
            signal.raise_signal(number)
            clock.now += after_s
        await anyio.wait_all_tasks_blocked()
    assert stopped == [numbers[0]]
    assert ended == [True] * ends
    assert [signal.getsignal(number) for number in numbers] == before

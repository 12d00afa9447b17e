"""The guard on many calls it has never seen: the variable ``CORPUS`` names the directory that holds them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.bench.guard import corpus, measure

LEAST = {"core, stopped": 0.99, "policy, stopped": 0.95}
MOST = {"benign, stopped": 0.01, "hard negatives, stopped": 0.03}

_STARTS = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "pty.", "socket.connect")


@pytest.mark.skipif(corpus() is None, reason="the variable CORPUS names no directory with the calls to judge")
def test_dangerous_calls_are_stopped_and_harmless_ones_pass_and_nothing_is_started() -> None:
    folder = corpus()
    assert folder is not None
    started: list[str] = []
    on = True

    def watch(event: str, _: tuple[Any, ...]) -> None:
        if on and event.startswith(_STARTS):
            started.append(event)

    sys.addaudithook(watch)  # it stays for good, and is silent later
    try:
        figures = measure(folder)
    finally:
        on = False
    assert started == []
    shares = {kind: figures.stopped[kind] / figures.calls[kind] for kind in (*LEAST, *MOST)}
    assert {kind: share for kind, share in shares.items() if share < LEAST.get(kind, 0)} == {}
    assert {kind: share for kind, share in shares.items() if share > MOST.get(kind, 1)} == {}

"""Verification: a trace is followable only after its effects were reproduced in a copy of the state it began in."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from llmos_core import LLMOSError, ProducedFile, Run, Step, Trace, TreeState, clock, replay, values_for
from llmos_plugin_trace.capture import Recorded
from llmos_plugin_trace.compile import produced_files

BeforeStep = Callable[[int, Step], Awaitable[None]]


async def verify(trace: Trace, run: Run, calls: Sequence[Recorded], end: TreeState) -> str | None:
    """Replay a run just learned. None if outputs, exit codes and files came out the same, else what differed."""
    left = await replay_in_copy(trace, run, _in_another_second(calls))
    return left if isinstance(left, str) else _difference(end, left.state)


@dataclass(frozen=True, slots=True)
class Left:
    """What a replay in a scratch copy left: the state, and the files it wrote or removed."""

    state: TreeState
    files: Sequence[ProducedFile]


async def replay_in_copy(trace: Trace, run: Run, before_step: BeforeStep | None = None) -> Left | str:
    """Replay in a scratch copy of the run's start state: what it leaves, or in words what differed."""
    try:
        async with run.scratch() as copy:
            values = values_for(trace, str(copy.workdir), str(copy.workspace))
            began = clock.now()
            replayed = await replay(trace, values, copy, before_step=before_step)
            if replayed.divergence is not None:
                return f"on replay, {replayed.divergence.message()}"
            start, left = await copy.start_state(), await copy.tree_state()
            if left.missing:
                return left.missing
            return Left(left, await anyio.to_thread.run_sync(produced_files, start, left, copy.workdir, began))
    except LLMOSError as error:
        return " ".join(str(error).split())


def _in_another_second(calls: Sequence[Recorded]) -> BeforeStep:
    """Let the clock show another second than when the step ended, else a command that prints the time could pass."""

    async def wait(number: int, step: Step) -> None:
        if step.effect == "external":
            recorded = int(calls[number - 1].at.timestamp())
            await anyio.sleep(max(0.0, recorded + 1 - time.time()))

    return wait


def _difference(learned: TreeState, replayed: TreeState) -> str | None:
    for path in sorted(learned.entries.keys() | replayed.entries.keys()):
        before, after = learned.entries.get(path), replayed.entries.get(path)
        if before == after:
            continue
        if after is None:
            return f"on replay, {path} was not made"
        if before is None:
            return f"on replay, {path} was made, which the run did not leave"
        return f"on replay, {path} came out with other contents or another mode"
    return None

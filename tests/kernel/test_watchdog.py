"""A model that falls silent: the request ends, the money is settled, and nothing of it stays open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from llmos_core import LLMOS, ModelReply, ModelRequest, ModelStalledError, ModelUsed, Outcome, Run, Usage
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile
from llmos_core.kernel.watchdog import begins_within, watched
from tests.kernel.test_model_door import Purse
from tests.parts import Model, Parts, Script, ask, request, stream


class Silent(Model):
    """Says so many chunks, then nothing more; ``log`` tells what was closed."""

    def __init__(self, chunks: int, *, never_begins: bool = False) -> None:
        super().__init__(stream(output_tokens=7))
        self._spoken = chunks
        self._never_begins = never_begins
        self.log: list[str] = []

    @asynccontextmanager
    async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
        self.asked.append(request)
        try:
            if self._never_begins:
                await anyio.sleep_forever()
            yield ModelReply(200, self._send())
        finally:
            self.log.append("connection closed")

    async def _send(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self.chunks[: self._spoken]:
                yield chunk
            await anyio.sleep_forever()
        finally:
            self.log.append("stream closed")


def patience(**limits: float) -> SettingsFile:
    return SettingsFile(settings=Settings(limits=LimitSettings(**limits)))  # type: ignore[arg-type]


async def perform(model: Model, act: Any = ask, **limits: float) -> tuple[Outcome, list[ModelUsed], Purse]:
    used: list[ModelUsed] = []
    purse = Purse(1_000_000)

    async def wrapped(run: Run) -> str:
        try:
            return (await act(run) or b"").decode()
        finally:
            used.extend([event async for event in run.history() if event.type == "model_used"])

    parts = Parts(strategies=[Script(wrapped)], models=[model], llmos_ledgers=lambda: [purse])
    async with LLMOS.in_memory({"parts": parts}, patience(**limits)) as system:
        outcome = await system.execute("think")
    return outcome, used, purse


async def test_a_model_that_never_begins() -> None:
    model = Silent(0, never_begins=True)
    outcome, [used], purse = await perform(model, first_byte_timeout_s=0.05)
    assert outcome.exit_code == 1
    assert outcome.error
    assert outcome.error.what == "The model did not begin to answer."
    assert outcome.error.why == "Nothing came for 0.05 s."
    assert "first_byte_timeout_s" in outcome.error.fix
    assert (used.status, used.complete, used.usage) == (0, False, Usage())
    assert [entry[0] for entry in purse.log] == ["held", "settled"]
    assert model.log == ["connection closed"]


@pytest.mark.parametrize("spoken", [0, 1, 4])
async def test_a_model_that_stalls_in_mid_stream(spoken: int) -> None:
    model = Silent(spoken)
    outcome, [used], purse = await perform(model, stall_timeout_s=0.05)
    assert outcome.exit_code == 1
    assert outcome.error
    assert outcome.error.what == "The model's reply stalled."
    assert "stall_timeout_s" in outcome.error.fix
    assert (used.status, used.complete) == (200, False)
    assert used.usage.input_tokens == (1000 if spoken == 4 else 0)
    assert purse.log[1] == ("settled", round(used.cost_usd * 1e6))
    assert outcome.cost_usd == used.cost_usd
    assert model.log == ["stream closed", "connection closed"]


async def test_who_only_pauses_is_waited_for() -> None:
    class Pausing(Model):
        async def _send(self) -> AsyncIterator[bytes]:
            for number, chunk in enumerate(self.chunks):
                await anyio.sleep(0.2 if number == 2 else 0)
                yield chunk

    model = Pausing()
    outcome, [used], _ = await perform(model, stall_timeout_s=20, first_byte_timeout_s=20)
    assert outcome.output.encode() == b"".join(model.chunks)
    assert used.complete


async def test_a_reader_that_takes_its_time_is_no_silence_of_the_model() -> None:
    async def slow(run: Run) -> bytes:
        got = []
        async with run.ask(request()) as reply:
            async for chunk in reply.chunks:
                got.append(chunk)
                if len(got) == 1:
                    await anyio.sleep(0.6)
        return b"".join(got)

    outcome, [used], _ = await perform(Model(), slow, stall_timeout_s=0.5)
    assert outcome.success, outcome.error
    assert used.complete


async def test_a_reader_that_leaves_closes_everything() -> None:
    model = Silent(3)

    async def leaves(run: Run) -> bytes:
        async with run.ask(request()) as reply:
            async for _ in reply.chunks:
                break
        return " ".join(model.log).encode()

    outcome, [used], purse = await perform(model, leaves)
    assert outcome.output == "stream closed connection closed"
    assert not used.complete
    assert [entry[0] for entry in purse.log] == ["held", "settled"]


async def test_a_cancelled_reader_closes_everything() -> None:
    model = Silent(2)

    async def leaves(run: Run) -> bytes:
        with anyio.move_on_after(0.05):
            await ask(run)
        return " ".join(model.log).encode()

    outcome, [_], _ = await perform(model, leaves)
    assert outcome.output == "stream closed connection closed"


async def test_an_error_or_a_deadline_of_the_provider_is_its_own() -> None:
    """Silence is what the watchdog measures; other ends pass as they are."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError("mine")

    chunks = watched(broken(), 10)
    assert await anext(chunks) == b"x"
    with pytest.raises(TimeoutError, match="mine"):
        await anext(chunks)
    with pytest.raises(TimeoutError, match="mine"):
        async with begins_within(10):
            raise TimeoutError("mine")


async def test_a_provider_may_hold_a_scope_of_its_own() -> None:
    async def scoped() -> AsyncIterator[bytes]:
        with anyio.fail_after(5):
            yield b"x"
            yield b"y"

    assert [chunk async for chunk in watched(scoped(), 10)] == [b"x", b"y"]


async def test_a_cancellation_from_outside_is_no_stall() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        await anyio.sleep_forever()
        yield b""

    with anyio.move_on_after(0.05) as scope:
        try:
            await anext(watched(nothing(), 20))
        except ModelStalledError:
            pytest.fail("cancelled, not stalled")
    assert scope.cancelled_caught

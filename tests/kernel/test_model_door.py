"""The model door: guards -> hold -> provider -> settle -> observers, and exact tokens whatever the chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import (
    LLMOS,
    BudgetError,
    ModelReply,
    ModelRequest,
    ModelUsed,
    Outcome,
    Run,
    Task,
    Usage,
    UsageError,
    Verdict,
)
from llmos_core.kernel.metering import Meter
from llmos_core.kernel.pricing import Price, price_of
from tests.parts import Model, Parts, Script, ask, request, stream


async def perform(model: Any, act: Any = ask, **parts: Any) -> tuple[Outcome, list[ModelUsed]]:
    used: list[ModelUsed] = []

    async def wrapped(run: Run) -> str:
        try:
            return (await act(run) or b"").decode()
        finally:
            used.extend([event async for event in run.history() if event.type == "model_used"])

    plugin = Parts(strategies=[Script(wrapped)], models=[model], **parts)
    async with LLMOS.in_memory({"parts": plugin}) as system:
        outcome = await system.execute("think")
    return outcome, used


async def test_a_reply_passes_unchanged_and_is_counted() -> None:
    model = Model(stream(output_tokens=7))
    outcome, [used] = await perform(model)
    assert outcome.output.encode() == b"".join(model.chunks)
    assert used.usage == Usage(input_tokens=1000, output_tokens=7)
    assert used.complete
    assert used.cost_usd == pytest.approx((1000 * 2 + 7 * 10) / 1e6)
    assert outcome.cost_usd == pytest.approx(used.cost_usd)
    assert outcome.billing == "real"


async def test_a_reply_that_breaks_off_is_counted_as_incomplete() -> None:
    async def act(run: Run) -> bytes:
        async with run.ask(request()) as reply:
            async for chunk in reply.chunks:
                if b"usage" in chunk:
                    break
        return b""

    _, [used] = await perform(Model(stream(7)), act)
    assert not used.complete


async def test_a_denied_request_is_never_sent() -> None:
    async def guard(request: ModelRequest, run: Run) -> Verdict:
        return Verdict.deny("not today")

    model = Model()
    outcome, used = await perform(model, llmos_pre_model_request=guard)
    assert model.asked == []
    assert used == []
    assert outcome.error
    assert outcome.error.why == "not today"
    assert outcome.exit_code == 4


async def test_a_request_that_needs_approval_is_not_sent() -> None:
    async def guard(request: ModelRequest, run: Run) -> Verdict:
        return Verdict.ask("may I?")

    model = Model()
    outcome, _ = await perform(model, llmos_pre_model_request=guard)
    assert model.asked == []
    assert outcome.exit_code == 4


class Purse:
    """A ledger that holds money, for tests."""

    name = "purse"

    def __init__(self, micros: int) -> None:
        self.left = micros
        self.log: list[Any] = []

    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
        if worst_micros > self.left:
            raise BudgetError("The budget is used up.")
        self.log.append(("held", worst_micros))
        yield self

    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        self.left -= cost_micros
        self.log.append(("settled", cost_micros))


async def test_money_is_held_before_and_settled_after() -> None:
    purse = Purse(1_000_000)
    sent_when: list[Any] = []

    class Watched(Model):
        def open(self, request: Any, run: Any) -> Any:
            sent_when.append(list(purse.log))
            return super().open(request, run)

    await perform(Watched(), llmos_ledgers=lambda: [purse])
    [(held, worst)] = sent_when[0]
    assert held == "held"
    assert purse.log == [("held", worst), ("settled", 2070)]
    assert worst >= 100 * 10


async def test_what_does_not_fit_is_never_sent() -> None:
    model = Model()
    outcome, _ = await perform(model, llmos_ledgers=lambda: [Purse(1)])
    assert model.asked == []
    assert outcome.exit_code == 3


async def test_a_failed_request_is_reported_too() -> None:
    outcome, [used] = await perform(Model([b'{"type":"error"}'], status=529))
    assert used.status == 529
    assert used.complete
    assert outcome.cost_usd == 0


async def test_a_cancelled_reply_is_settled() -> None:
    purse = Purse(1_000_000)

    async def act(run: Run) -> bytes:
        with anyio.CancelScope() as scope:
            async with run.ask(request()) as reply:
                async for _ in reply.chunks:
                    scope.cancel()
        return b""

    _, used = await perform(Model(), act, llmos_ledgers=lambda: [purse])
    assert [entry[0] for entry in purse.log] == ["held", "settled"]
    assert len(used) == 1


def test_a_remote_model_without_a_price_is_refused() -> None:
    with pytest.raises(UsageError, match="No price is known for the model gpt-x"):
        price_of("gpt-x", {}, priced=True)
    assert price_of("llama", {}, priced=False).micros(Usage(input_tokens=10**6)) == 0
    own = {"llama": Price(input=1, output=2)}
    assert price_of("llama", own, priced=False).micros(Usage(input_tokens=10, output_tokens=1)) == 12


def test_a_dated_model_has_its_family_price() -> None:
    assert price_of("claude-haiku-4-5-20251001", {}, priced=True) == price_of("claude-haiku-4-5", {}, priced=True)


@given(
    st.builds(
        Usage,
        input_tokens=st.integers(0, 500),
        output_tokens=st.integers(0, 100),
        cache_read_tokens=st.integers(0, 500),
        cache_write_5m_tokens=st.integers(0, 500),
        cache_write_1h_tokens=st.integers(0, 500),
    )
)
def test_the_worst_case_is_never_passed(usage: Usage) -> None:
    """Any usage that a request of that size can have costs no more than its bound: a token has at least a byte."""
    read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    price = Price(input=3, output=15)
    assert price.micros(usage) <= price.worst_micros(request(pad="x" * read))


@given(tokens=st.integers(1, 10**6), places=st.lists(st.floats(0, 1), max_size=20))
async def test_counting_does_not_depend_on_the_cuts(tokens: int, places: list[float]) -> None:
    body = b"".join(stream(output_tokens=tokens))
    cuts = sorted(int(place * len(body)) for place in places)
    chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    meter = Meter()
    assert b"".join([chunk async for chunk in meter.watch(ModelReply(200, _feed(chunks)))]) == body
    whole = Meter()
    assert [chunk async for chunk in whole.watch(ModelReply(200, _feed([body])))] == [body]
    assert meter.usage == whole.usage
    assert meter.complete


async def test_an_unstreamed_reply_is_counted() -> None:
    body = json.dumps({"type": "message", "usage": {"input_tokens": 3, "output_tokens": 4}}).encode()
    meter = Meter()
    reply = ModelReply(200, _feed([body[:10], body[10:]]), (("content-type", "application/json"),))
    assert b"".join([chunk async for chunk in meter.watch(reply)]) == body
    assert meter.usage == Usage(input_tokens=3, output_tokens=4)
    assert meter.complete


async def test_cache_and_search_are_counted() -> None:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 10,
        "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3},
        "server_tool_use": {"web_search_requests": 5},
    }
    start = {"type": "message_start", "message": {"usage": usage}}
    end = {"type": "message_delta", "usage": {"output_tokens": 4, "cache_read_input_tokens": None}}
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in (start, end)).encode()
    meter = Meter()
    assert [chunk async for chunk in meter.watch(ModelReply(200, _feed([body])))]
    assert meter.usage == Usage(
        input_tokens=1,
        output_tokens=4,
        cache_read_tokens=2,
        cache_write_5m_tokens=7,
        cache_write_1h_tokens=3,
        web_searches=5,
    )


async def _feed(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_request_that_breaks_before_its_answer_is_settled() -> None:
    class Broken(Model):
        @asynccontextmanager
        async def open(self, request: ModelRequest, run: Run) -> AsyncIterator[ModelReply]:
            raise OSError("no route")
            yield

    purse = Purse(1_000_000)
    outcome, [used] = await perform(Broken(), llmos_ledgers=lambda: [purse])
    assert not outcome.success
    assert (used.status, used.complete) == (0, False)
    assert [entry[0] for entry in purse.log] == ["held", "settled"]


@pytest.mark.parametrize("usage", [{"server_tool_use": 3}, {"output_tokens": -5}, {"output_tokens": "many"}, []])
async def test_a_senseless_usage_breaks_nothing(usage: Any) -> None:
    event = {"type": "message_delta", "usage": usage}
    _, [used] = await perform(Model([f"data: {json.dumps(event)}\n\n".encode()]))
    assert used.usage == Usage()
    assert used.cost_usd == 0


@pytest.mark.parametrize("wanted", [0, -1_000_000_000, "many"])
def test_a_request_for_no_tokens_is_refused(wanted: Any) -> None:
    with pytest.raises(UsageError):
        request(max_tokens=wanted)


def test_costs_are_rounded_up_but_not_from_noise() -> None:
    assert Price(input=10, output=0).micros(Usage(cache_read_tokens=3)) == 3
    assert Price(input=10, output=0).micros(Usage(cache_read_tokens=4)) == 4
    assert Price(input=1, output=0).micros(Usage(cache_read_tokens=1)) == 1


async def test_a_runs_cost_includes_its_sub_tasks() -> None:
    async def inner(run: Run) -> str:
        return (await ask(run)).decode()[:0]

    async def outer(run: Run) -> str:
        await run.execute(Task(goal="inner", mode="INNER"))
        return ""

    strategies = [Script(outer, name="OUTER"), Script(inner, name="INNER", cost=1)]
    async with LLMOS.in_memory({"parts": Parts(strategies=strategies, models=[Model()])}) as system:
        outcome = await system.execute("outer")
    assert outcome.cost_usd == pytest.approx(0.00207)
    assert outcome.billing == "real"

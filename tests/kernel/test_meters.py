"""The limit of a run: what could exceed it is shortened or refused, before anything is sent."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import LLMOS, BudgetError, ModelRequest, Outcome, Run, Task
from llmos_core.kernel.metering import Meters
from llmos_core.kernel.pricing import Price
from tests.parts import Model, Parts, Script, ask, request, stream

PRICE = Price(input=2, output=10)

prices = st.builds(
    Price,
    input=st.floats(0, 100),
    output=st.floats(0, 500),
    cache_write_1h=st.floats(0, 4),
)
requests = st.builds(
    lambda tokens, text, spaced, thinking: ModelRequest.parse(
        "r",
        json.dumps(
            {"model": "m", "text": text, **tokens, **thinking},
            separators=(" , ", " : ") if spaced else (",", ":"),
            indent=4 if spaced else None,
            ensure_ascii=False,
        ).encode(),
    ),
    st.integers(1, 10**6).map(lambda n: {"max_tokens": n}) | st.just({}),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.booleans(),
    st.just({}) | st.integers(1, 40_000).map(lambda n: {"thinking": {"type": "enabled", "budget_tokens": n}}),
)


@given(prices, requests, st.floats(0.000001, 20))
def test_what_is_granted_fits_and_only_the_length_of_the_reply_changes(
    price: Price, wanted: ModelRequest, limit: float
) -> None:
    meters = Meters(limit)
    left = meters.left_micros
    assert left is not None
    try:
        with meters.held(wanted, price) as (granted, worst):
            assert worst == price.worst_micros(granted) <= left
            assert meters.left_micros == left - worst
            if price.worst_micros(wanted) <= left:
                assert granted is wanted
            else:
                tokens = granted.message["max_tokens"]
                assert tokens <= wanted.message.get("max_tokens", tokens)
                assert tokens > wanted.message.get("thinking", {}).get("budget_tokens", 0)
                assert json.loads(granted.body) == {**wanted.message, "max_tokens": tokens} == granted.message
    except BudgetError:
        refused = True
    else:
        refused = False
    assert not refused or price.worst_micros(wanted) > left
    assert meters.left_micros == left
    assert meters.held_micros == 0


@given(prices, st.lists(requests, min_size=2, max_size=5), st.floats(0.0001, 10), st.floats(0.0001, 10))
def test_together_they_never_exceed_the_limit_of_any_run_above(
    price: Price, wanted: list[ModelRequest], limit: float, above: float
) -> None:
    parent = Meters(above)
    children = [Meters(limit, parent), Meters(None, parent)]
    with ExitStack() as held:
        for number, one in enumerate(wanted):
            try:
                held.enter_context(children[number % 2].held(one, price))
            except BudgetError:
                continue
            assert all((meters.left_micros or 0) >= 0 for meters in (parent, children[0]))
            assert parent.held_micros == sum(child.held_micros for child in children)
    assert [meters.held_micros for meters in (parent, *children)] == [0, 0, 0]


@given(st.floats(0, 100), st.floats(1, 500), st.integers(10_000, 10**6))
def test_a_reply_is_as_long_as_the_limit_admits(input: float, output: float, asked: int) -> None:
    price, wanted = Price(input=input, output=output), request(max_tokens=asked)
    whole, shortest = price.worst_micros(wanted), price.worst_micros(wanted.with_max_tokens(1_024))
    limit = (shortest + (whole - shortest) // 2) / 1e6
    with Meters(limit).held(wanted, price) as (granted, _):
        longer = granted.with_max_tokens(granted.message["max_tokens"] + 200)
        spare = 12 * price.input * price.cache_write_1h + 200 * price.output
        assert granted.message["max_tokens"] >= 1_024
        assert price.worst_micros(longer) + spare >= round(limit * 1e6)


def test_without_a_limit_everything_is_granted_as_it_is() -> None:
    wanted = request(max_tokens=10**9)
    with Meters().held(wanted, PRICE) as (granted, _):
        assert granted is wanted


def test_an_odd_budget_for_thinking_is_not_read() -> None:
    wanted = request(max_tokens=10**6, thinking={"budget_tokens": "much"})
    with Meters(0.1).held(wanted, PRICE) as (granted, worst):
        assert worst <= 100_000
        assert granted.message["thinking"] == {"budget_tokens": "much"}


async def perform(act: Any, model: Model, **fields: Any) -> Outcome:
    async with LLMOS.in_memory({"parts": Parts(strategies=[Script(act)], models=[model])}) as system:
        return await system.execute("think", **fields)


async def test_a_request_too_long_is_shortened_at_the_door() -> None:
    model = Model()

    async def act(run: Run) -> str:
        await ask(run, request(max_tokens=64_000))
        return ""

    assert (await perform(act, model, max_cost_usd=0.05)).success
    [sent] = model.asked
    assert 1_024 <= sent.message["max_tokens"] < 5_000
    assert json.loads(sent.body) == sent.message
    assert (await perform(act, model, constraints=("Max cost $0.05",))).success
    assert model.asked[1].body == sent.body


@pytest.mark.parametrize("fields", [{"max_cost_usd": 0.0001}, {"constraints": ("Max 0.01 cents",)}])
async def test_what_does_not_fit_is_refused_before_anything_is_sent(fields: dict[str, Any]) -> None:
    model = Model()

    async def act(run: Run) -> str:
        await ask(run)
        return ""

    outcome = await perform(act, model, **fields)
    assert (outcome.exit_code, outcome.cost_usd, model.asked) == (3, 0, [])
    assert outcome.error
    assert outcome.error.why.startswith("Of $0.0001, $0.0000 is spent")


async def test_what_was_spent_is_gone() -> None:
    model = Model(stream(output_tokens=1_000))

    async def act(run: Run) -> str:
        for _ in range(10):
            await ask(run, request(max_tokens=2_000, system="x" * 1_000))
        return ""

    outcome = await perform(act, model, max_cost_usd=0.06)
    assert outcome.exit_code == 3
    assert 0 < len(model.asked) < 10
    assert outcome.cost_usd <= 0.06


class Slow(Model):
    """Answers once it is told to."""

    def __init__(self, go_on: anyio.Event) -> None:
        super().__init__(stream(output_tokens=5))
        self._go_on = go_on

    async def _send(self) -> Any:
        await self._go_on.wait()
        async for chunk in super()._send():
            yield chunk


@pytest.mark.parametrize("within", [False, True], ids=["requests", "runs within the run"])
async def test_requests_at_once_share_the_limit(within: bool) -> None:
    go_on = anyio.Event()
    model, refused = Slow(go_on), []
    prices = Price(input=2, output=10)

    async def one(run: Run) -> None:
        try:
            await ask(run, request(max_tokens=2_000))
        except BudgetError:
            refused.append(run.id)
            raise

    async def act(run: Run) -> str:
        if run.task.goal == "inner":
            await one(run)
            return ""

        async def branch() -> None:
            if within:
                await run.execute(Task(goal="inner"))
            else:
                try:
                    await one(run)
                except BudgetError:
                    return

        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(branch)
            await anyio.wait_all_tasks_blocked()
            worst = sum(prices.worst_micros(asked) for asked in model.asked)
            go_on.set()
        return str(worst)

    outcome = await perform(act, model, max_cost_usd=0.05)
    assert outcome.success, outcome.error
    assert 0 < int(outcome.output) <= 50_000
    assert (len(model.asked), refused) == (6, [])  # those that did not fit waited for the others
    assert outcome.cost_usd == pytest.approx(len(model.asked) * (1000 * 2 + 5 * 10) / 1e6)

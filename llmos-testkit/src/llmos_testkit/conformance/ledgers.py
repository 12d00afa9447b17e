"""What every ledger keeps."""

from __future__ import annotations

import inspect
from typing import ClassVar

import anyio
import pytest
from anyio.abc import ObjectReceiveStream

from llmos_core import BudgetError, Ledger, Usage
from llmos_testkit.conformance.base import Conformance

_ANY = 1_000
_QUIET_S = 2.0
"""After so long without an answer none is awaited."""
_USAGE = Usage(input_tokens=10, output_tokens=5)


class LedgerConformance(Conformance):
    """Checks of a :class:`llmos_core.Ledger`. Give it as the fixture ``ledger``, fresh for each check.

    ``budget_micros`` is the money that it then has, in micro-dollars, at least 1,000: what a check asks of it must fit
    to the last. None stands for a ledger that admits everything, of which only a part can be checked.
    """

    budget_micros: ClassVar[int | None] = None

    @pytest.fixture
    def ledger(self) -> Ledger:
        """The ledger under test."""
        raise NotImplementedError("give the ledger: override the fixture `ledger`")

    def test_fulfils_the_contract(self, ledger: Ledger) -> None:
        assert isinstance(ledger, Ledger), f"{type(ledger).__name__} lacks a part of llmos_core.Ledger"

    def test_it_has_a_name(self, ledger: Ledger) -> None:
        assert isinstance(ledger.name, str), "the name is no text"
        assert ledger.name.strip(), "the name is empty"

    async def test_a_hold_can_be_settled(self, ledger: Ledger) -> None:
        async with ledger.hold("run", "request", _ANY, "real") as hold:
            assert inspect.iscoroutinefunction(hold.settle), "settle is no async function"
            await hold.settle(_ANY // 2, _USAGE, True)

    async def test_every_billing_is_known(self, ledger: Ledger) -> None:
        for billing in ("real", "rehearsal", "free"):
            async with ledger.hold("run", f"request-{billing}", 0, billing) as hold:
                await hold.settle(0, _USAGE, True)

    async def test_what_is_settled_is_booked(self, ledger: Ledger) -> None:
        budget = self._budget()
        async with ledger.hold("run", "request", budget, "real") as hold:
            await hold.settle(400, _USAGE, True)
        await _check_left(ledger, budget - 400, "a request held at the budget, settled at 400")

    async def test_settling_twice_books_once(self, ledger: Ledger) -> None:
        budget = self._budget()
        async with ledger.hold("run", "request", 500, "real") as hold:
            await hold.settle(400, _USAGE, True)
            await hold.settle(400, _USAGE, True)
        await _check_left(ledger, budget - 400, "one request settled twice at 400")

    async def test_left_unsettled_the_worst_case_is_booked(self, ledger: Ledger) -> None:
        budget = self._budget()
        async with ledger.hold("run", "request", 600, "real"):
            pass
        await _check_left(ledger, budget - 600, "a request held at 600 and left unsettled")

    async def test_left_by_an_error_the_worst_case_is_booked(self, ledger: Ledger) -> None:
        budget = self._budget()
        with pytest.raises(ZeroDivisionError):
            async with ledger.hold("run", "request", 600, "real"):
                raise ZeroDivisionError
        await _check_left(ledger, budget - 600, "a request held at 600 that failed")

    async def test_left_by_cancellation_the_worst_case_is_booked(self, ledger: Ledger) -> None:
        budget = self._budget()
        with anyio.CancelScope() as scope:
            async with ledger.hold("run", "request", 600, "real"):
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught, "the ledger swallowed a cancellation"
        await _check_left(ledger, budget - 600, "a request held at 600 that was cancelled")

    async def test_an_error_passes(self, ledger: Ledger) -> None:
        context = ledger.hold("run", "request", _ANY, "real")
        hold = await context.__aenter__()
        await hold.settle(0, _USAGE, False)
        error = ZeroDivisionError()
        try:
            swallowed = await context.__aexit__(ZeroDivisionError, error, None)
        except ZeroDivisionError:
            swallowed = False
        assert not swallowed, "the ledger swallowed the error of a request"

    async def test_what_does_not_fit_is_refused_on_entry(self, ledger: Ledger) -> None:
        budget = self._budget()
        entered = False
        with pytest.raises(BudgetError) as refused:
            async with ledger.hold("run", "request", budget + 1, "real"):
                entered = True
        assert not entered, "it refused only after the request was sent"
        assert refused.value.what.strip(), "the refusal says nothing"

    async def test_a_refusal_books_nothing(self, ledger: Ledger) -> None:
        budget = self._budget()
        await _fits(ledger, budget + 1, "refused")
        await _check_left(ledger, budget, "a request that was refused")

    async def test_holds_at_once_never_pass_the_budget(self, ledger: Ledger) -> None:
        budget = self._budget()
        answer, answers = anyio.create_memory_object_stream[bool](8)
        done = anyio.Event()

        async def one(number: int) -> None:
            try:
                async with ledger.hold(f"run-{number % 2}", f"request-{number}", budget // 3, "real") as hold:
                    answer.send_nowait(True)
                    await done.wait()
                    await hold.settle(0, _USAGE, True)
            except BudgetError:
                answer.send_nowait(False)

        with answer, answers:
            async with anyio.create_task_group() as group:
                for number in range(8):
                    group.start_soon(one, number)
                count = sum(await _received(answers, 8))
                done.set()
        assert count == 3, f"{count} requests of a third of the budget were held at once"
        await _check_left(ledger, budget, "eight requests settled at nothing")

    async def test_a_cost_above_the_worst_case_is_booked(self, ledger: Ledger) -> None:
        budget = self._budget()
        async with ledger.hold("run", "request", 100, "real") as hold:
            await hold.settle(300, _USAGE, True)
        await _check_left(ledger, budget - 300, "a request held at 100 that cost 300")

    def _budget(self) -> int:
        if self.budget_micros is None:
            pytest.skip("it has no budget_micros: it admits everything, or its budget is not told")
        return self.budget_micros


async def _received(answers: ObjectReceiveStream[bool], wanted: int) -> list[bool]:
    """All answers, or those until no more come: a ledger may be slow, or let a request wait for its money."""
    received: list[bool] = []
    while len(received) < wanted:
        with anyio.move_on_after(_QUIET_S) as limit:
            received.append(await answers.receive())
        if limit.cancelled_caught:
            break
    return received


async def _fits(ledger: Ledger, micros: int, name: str) -> bool:
    """Whether a request of this worst case would be admitted. It is settled at nothing."""
    try:
        async with ledger.hold("run-asking", f"asking-{name}-{micros}", micros, "real") as hold:
            await hold.settle(0, Usage(), True)
    except BudgetError:
        return False
    return True


async def _check_left(ledger: Ledger, left: int, after: str) -> None:
    assert await _fits(ledger, left, "left"), f"after {after}, {left} should be left, and is not"
    assert not await _fits(ledger, left + 1, "over"), f"after {after}, more than {left} is left"

"""Each check of ledgers can fail."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import BudgetError, Usage
from llmos_testkit.conformance import LedgerConformance

from .conformance_parts import assert_each_check_can_fail, run_checks

BUDGET = 1_200


class Hold:
    def __init__(self) -> None:
        self.cost: int | None = None

    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        self.cost = cost_micros


class Purse:
    """A small ledger in memory."""

    name: Any = "purse"
    make_hold: Any = Hold

    def __init__(self) -> None:
        self.left = BUDGET

    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
        self.take(worst_micros)
        held = self.make_hold()
        try:
            yield held
        finally:
            self.left += worst_micros - (worst_micros if held.cost is None else held.cost)

    def take(self, worst_micros: int) -> None:
        if worst_micros > self.left:
            raise BudgetError("The budget is spent.")
        self.left -= worst_micros


class SyncHold(Hold):
    def settle(self, cost_micros: int, usage: Usage, complete: bool) -> Any:
        return super().settle(cost_micros, usage, complete)


class AddingHold(Hold):
    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        self.cost = (self.cost or 0) + cost_micros


class CappedHold(Hold):
    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        self.cost = 100 if cost_micros == 300 else cost_micros


class FreeHold(Hold):
    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        self.cost = min(cost_micros, 0) if self.cost is None and complete and cost_micros == 400 else cost_micros


class RealOnly(Purse):
    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
        if billing == "free":
            raise KeyError(billing)
        async with super().hold(run_id, request_id, worst_micros, billing) as held:
            yield held


def leaving(*, normal: bool = True, failed: bool = True, cancelled: bool = True) -> Any:
    """A ledger that books the worst case only where a request was left in some of these ways."""

    class Leaving(Purse):
        @asynccontextmanager
        async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
            self.take(worst_micros)
            held, booked = Hold(), normal
            try:
                yield held
            except Exception:
                booked = failed
                raise
            except BaseException:
                booked = cancelled
                raise
            finally:
                worst = worst_micros if booked else 0
                self.left += worst_micros - (worst if held.cost is None else held.cost)

    return Leaving


class Swallowing(Purse):
    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
        async with super().hold(run_id, request_id, worst_micros, billing) as held:
            try:
                yield held
            except ZeroDivisionError:
                if held.cost is None:
                    raise


class Late(Purse):
    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
        held, fits = Hold(), worst_micros <= self.left
        if fits:
            self.take(worst_micros)
        try:
            yield held
        finally:
            if fits:
                self.left += worst_micros - (worst_micros if held.cost is None else held.cost)
        if not fits:
            raise BudgetError("The budget is spent.")


class Punishing(Purse):
    def take(self, worst_micros: int) -> None:
        if worst_micros == BUDGET + 1:
            self.left -= 1
        super().take(worst_micros)


class Racing(Purse):
    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
        fits = worst_micros <= self.left
        await anyio.lowlevel.checkpoint()
        if not fits:
            raise BudgetError("The budget is spent.")
        self.left -= worst_micros
        held = Hold()
        try:
            yield held
        finally:
            self.left += worst_micros - (worst_micros if held.cost is None else held.cost)


def of(kind: Any) -> Any:
    return type("Purse", (Purse,), {"make_hold": kind})


def conforming(make: Any) -> type:
    class Checked(LedgerConformance):
        budget_micros = BUDGET

        @pytest.fixture
        def ledger(self) -> Any:
            return make()

    return Checked


class NoLedger(Purse):
    """Its name is gone once somebody read it."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "name":
            raise AttributeError(name)
        return super().__getattribute__(name)


MUTANTS: dict[str, Any] = {
    "test_fulfils_the_contract": NoLedger,
    "test_it_has_a_name": type("Nameless", (Purse,), {"name": 7}),
    "test_a_hold_can_be_settled": of(SyncHold),
    "test_every_billing_is_known": RealOnly,
    "test_what_is_settled_is_booked": of(FreeHold),
    "test_settling_twice_books_once": of(AddingHold),
    "test_left_unsettled_the_worst_case_is_booked": leaving(normal=False),
    "test_left_by_an_error_the_worst_case_is_booked": leaving(failed=False),
    "test_left_by_cancellation_the_worst_case_is_booked": leaving(cancelled=False),
    "test_an_error_passes": Swallowing,
    "test_what_does_not_fit_is_refused_on_entry": Late,
    "test_a_refusal_books_nothing": Punishing,
    "test_holds_at_once_never_pass_the_budget": Racing,
    "test_a_cost_above_the_worst_case_is_booked": of(CappedHold),
}


def test_each_check_can_fail(tmp_path: Path) -> None:
    mutants = {check: conforming(make) for check, make in MUTANTS.items()}
    also = {
        "test_fulfils_the_contract": {"test_it_has_a_name"},
        "test_what_does_not_fit_is_refused_on_entry": {"test_holds_at_once_never_pass_the_budget"},
    }
    assert_each_check_can_fail(tmp_path, LedgerConformance, conforming(Purse), mutants, also=also)


def test_without_a_budget_only_a_part_is_checked(tmp_path: Path) -> None:
    class Unlimited(conforming(Purse)):  # type: ignore[misc]
        budget_micros = None

    went = run_checks(tmp_path, {"unlimited": Unlimited}).verdicts["unlimited"]
    assert {outcome for check, outcome in went.items() if "booked" in check} == {"skipped"}
    assert went["test_a_hold_can_be_settled"] == "passed"


def test_a_slow_ledger_is_waited_for(tmp_path: Path) -> None:
    def slow(*, lawful: bool) -> Any:
        class Slow(Purse):
            def __init__(self) -> None:
                super().__init__()
                self.lock = anyio.Lock()

            @asynccontextmanager
            async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: str) -> AsyncIterator[Any]:
                async with self.lock:
                    await anyio.to_thread.run_sync(time.sleep, 0.3)
                if worst_micros > self.left and not lawful:
                    yield self.make_hold()
                    return
                async with super().hold(run_id, request_id, worst_micros, billing) as held:
                    yield held

        return conforming(Slow)

    kinds = {"lawful": slow(lawful=True), "careless": slow(lawful=False)}
    went = run_checks(tmp_path, kinds, "-k", "holds_at_once").verdicts
    assert {kind: set(outcomes.values()) for kind, outcomes in went.items()} == {
        "lawful": {"passed"},
        "careless": {"failed"},
    }

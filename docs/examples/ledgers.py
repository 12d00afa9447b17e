"""A ledger that admits a fixed sum for as long as the process lives.

The worst case of a request is set aside before it is sent. What it really cost is booked by ``settle``; where that is
never called, because something broke, the worst case stays booked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from llmos_core import Billing, BudgetError, Hold, Ledger, Usage, hookimpl

LIMIT_MICROS = 500_000  # half a dollar


class Purse:
    name = "purse"

    def __init__(self) -> None:
        self.booked_micros = 0

    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: Billing) -> AsyncIterator[Hold]:
        if billing != "real":
            worst_micros = 0
        left = LIMIT_MICROS - self.booked_micros
        if worst_micros > left:
            raise BudgetError(
                "The purse is empty.",
                f"The request may cost ${worst_micros / 1e6:.4f}; ${left / 1e6:.4f} are left.",
                "Ask for less, or start anew.",
            )
        self.booked_micros += worst_micros
        yield _Held(self, worst_micros)


class _Held:
    def __init__(self, purse: Purse, micros: int) -> None:
        self._purse = purse
        self._micros = micros

    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        if self._micros:
            self._purse.booked_micros += cost_micros - self._micros


@hookimpl
def llmos_ledgers() -> Iterable[Ledger]:
    return [Purse()]

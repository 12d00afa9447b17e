"""The kernel's own store and ledger keep the contracts that plugins are held to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmos_core import Ledger, StoredTrace, TraceStore
from llmos_core.kernel.memory import MemoryTraceStore
from llmos_core.kernel.models import ReportingLedger
from llmos_testkit.conformance import LedgerConformance, TraceStoreConformance


class TestMemoryTraceStore(TraceStoreConformance):
    @pytest.fixture
    def open_store(self, place: Path) -> Callable[[], TraceStore]:
        return MemoryTraceStore

    def damage(self, stored: StoredTrace) -> None:
        pytest.skip("what is only in memory cannot become unreadable")

    @pytest.mark.xfail(reason="it is the store of a system that keeps nothing on disk", strict=True)
    async def test_a_second_store_on_the_same_place_sees_all(self, open_store: Callable[[], TraceStore]) -> None:
        await super().test_a_second_store_on_the_same_place_sees_all(open_store)


class TestReportingLedger(LedgerConformance):
    """It admits everything: what must fit a budget is not asked of it."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        return ReportingLedger()

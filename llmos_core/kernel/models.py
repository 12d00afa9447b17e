"""The model door: guards -> hold money -> provider -> settle -> observers. No other code asks a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from llmos_core.contracts import Hold, ModelReply, ModelRequest
from llmos_core.errors import BudgetError, DeniedError
from llmos_core.events import LlmDelta, ModelUsed
from llmos_core.kernel.hooks import judge
from llmos_core.kernel.metering import Meter
from llmos_core.kernel.pricing import Price, price_of
from llmos_core.kernel.watchdog import begins_within, watched
from llmos_core.records import Billing, Usage

if TYPE_CHECKING:
    from llmos_core.kernel.run import KernelRun


class ReportingLedger:
    """The ledger of a system without one: it admits everything; spending is only reported."""

    name = "reporting"

    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: Billing) -> AsyncIterator[Hold]:
        yield _Settled()


class RefusingLedger:
    """The ledger where it is not known which one counts, or where it failed: it admits nothing that costs money."""

    name = "refusing"

    def __init__(self, why: str) -> None:
        self._why = why

    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: Billing) -> AsyncIterator[Hold]:
        if billing == "real":
            fix = "Mend it, or disable one: llmos plugins doctor"
            raise BudgetError("No money can be held for a request.", self._why, fix)
        yield _Settled()


class _Settled:
    async def settle(self, cost_micros: int, usage: Usage, complete: bool) -> None:
        return None


@asynccontextmanager
async def ask_model(run: KernelRun, request: ModelRequest) -> AsyncIterator[ModelReply]:
    """Pass one request through the door. Raises DeniedError, BudgetError or UsageError before anything is sent.

    Raises ModelStalledError, also out of the reply's chunks, where the model falls silent.
    """
    if run.halted:
        raise run.halted
    machine, provider = run.machine, run.provider
    guards = machine.hooks["llmos_pre_model_request"]
    verdict = await judge(guards, {"request": request, "run": run}, machine.limits.guard_timeout_s)
    if verdict.decision != "allow":
        raise DeniedError("A model request was refused.", verdict.reason, "Change the rule, or ask for something else.")
    price = price_of(request.model, machine.prices, provider.priced(request.model, run))
    meter = Meter(partial(_tell, run, request.agent_id))
    async with (
        run.meters.granted(request, price) as (granted, worst),
        machine.ledger.hold(run.id, request.id, worst, provider.billing) as hold,
    ):
        try:
            async with AsyncExitStack() as opened:
                async with begins_within(machine.limits.first_byte_timeout_s):
                    reply = await opened.enter_async_context(provider.open(granted, run))
                chunks = watched(reply.chunks, machine.limits.stall_timeout_s)
                opened.push_async_callback(chunks.aclose)  # also where the reader leaves before the end
                yield ModelReply(reply.status, meter.watch(replace(reply, chunks=chunks)), reply.headers)
        finally:
            # Also where the provider broke before it answered: the request may have been sent, and cost.
            with anyio.CancelScope(shield=True):
                await _settle(run, request, price, worst, meter, hold)


def _tell(run: KernelRun, agent_id: str | None, text: str) -> None:
    run.emit(LlmDelta(text=text, agent_id=agent_id))


async def _settle(run: KernelRun, request: ModelRequest, price: Price, worst: int, meter: Meter, hold: Hold) -> None:
    provider, usage = run.provider, meter.usage
    micros = price.micros(usage)
    used = ModelUsed(
        request_id=request.id,
        provider=provider.name,
        model=request.model,
        status=meter.status,
        usage=usage,
        cost_usd=micros / 1_000_000,
        billing=provider.billing,
        complete=meter.complete,
        agent_id=request.agent_id,
    )
    await run.charge(used)
    if not meter.complete:
        run.meters.lose(max(0, worst - micros))
    await hold.settle(micros, usage, meter.complete)

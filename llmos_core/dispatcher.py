"""The dispatcher: strategies bid for a task, the cheapest that is fit enough runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from llmos_core.contracts import Strategy
from llmos_core.errors import LLMOSError, UsageError, describe
from llmos_core.records import AUTO, Bid, Candidate, ErrorInfo, Offer, Task
from llmos_core.run import Run

FIT_ENOUGH = 0.9
"""A strategy is fit enough for a task if it bids more than this."""

BID_TIMEOUT_S = 30.0
"""A strategy that takes longer than this to bid cannot act."""


@dataclass(frozen=True, slots=True)
class Auction:
    """How an auction went. ``winner`` is None where no strategy can act; ``refusal`` then says why."""

    bids: Mapping[str, Bid]
    winner: Strategy | None
    reason: str
    refusal: ErrorInfo | None = None

    @property
    def mode(self) -> str | None:
        return self.winner.name if self.winner else None

    @property
    def offers(self) -> tuple[Offer, ...]:
        return tuple(
            Offer(strategy=name, fit=bid.fit, cost_usd=bid.cost_usd, reason=bid.reason)
            for name, bid in self.bids.items()
        )

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return tuple(candidate for bid in self.bids.values() for candidate in bid.candidates)


class Dispatcher:
    """Chooses a strategy for a task."""

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        self.strategies = dict(sorted(strategies.items()))

    def check_mode(self, mode: str) -> None:
        """Raises UsageError for a mode that is neither AUTO nor the name of a strategy."""
        if mode != AUTO and mode not in self.strategies:
            known = ", ".join(name.lower() for name in (AUTO, *self.strategies))
            raise UsageError(f"There is no mode {mode.lower()}.", f"The modes are: {known}.", "Choose one with --mode.")

    async def auction(self, task: Task, run: Run, *, to_the_end: bool = False) -> Auction:
        """Let the strategies that the task's mode admits bid. Nothing is run.

        A bid that is fit enough at $0 cannot be beaten: unless the auction goes ``to_the_end``, no further one is asked
        for.
        """
        admitted = list(self.strategies.values()) if task.mode == AUTO else [self.strategies[task.mode]]
        bids: dict[str, Bid] = {}
        for strategy in admitted:
            bids[strategy.name] = bid = await self._bid(strategy, task, run)
            if bid.fit > FIT_ENOUGH and bid.cost_usd == 0 and not to_the_end:
                break
        able = [strategy for strategy in admitted if strategy.name in bids and bids[strategy.name].fit > 0]
        if not able:
            return Auction(bids, None, "no strategy can act", self._refusal(bids))
        fit = [strategy for strategy in able if bids[strategy.name].fit > FIT_ENOUGH]
        if fit:
            winner = min(fit, key=lambda s: (bids[s.name].cost_usd, -bids[s.name].fit))
        else:
            winner = max(able, key=lambda s: bids[s.name].fit)
        reason = bids[winner.name].reason
        if not fit:
            reason += f" (the fittest, though at {bids[winner.name].fit:.2f} not above {FIT_ENOUGH})"
        return Auction(bids, winner, reason)

    async def _bid(self, strategy: Strategy, task: Task, run: Run) -> Bid:
        why = f"no answer within {BID_TIMEOUT_S:g} s"
        try:
            with anyio.move_on_after(BID_TIMEOUT_S):
                bid = await strategy.bid(task, run)
                if isinstance(bid, Bid):
                    return bid
                why = f"it answered {type(bid).__name__}, not a Bid"
        except LLMOSError as error:
            return Bid.cannot(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a strategy that cannot even bid loses, told why
            why = describe(error)
        return Bid.cannot(LLMOSError(f"The strategy {strategy.name} failed to bid.", why))

    def _refusal(self, bids: Mapping[str, Bid]) -> ErrorInfo:
        """Why nothing can act: the word of a strategy that learns, if there is one, for it could act on anything."""
        if not bids:
            return ErrorInfo.of(
                UsageError("No strategy is installed.", fix='Install some: pip install "llmos-core[standard]"')
            )
        named = sorted(bids, key=lambda name: not self.strategies[name].learns)
        return bids[named[0]].refusal or ErrorInfo(what=bids[named[0]].reason)

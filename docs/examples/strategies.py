"""A strategy for sums: it does arithmetic itself, so that no model is paid for it.

It bids a fit of 1 for what it can do, and refuses everything else with the reason. It is run only for what it bid for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from llmos_core import Bid, Result, Run, Strategy, Task, UsageError, hookimpl

SUM = re.compile(r"add \d+ and \d+", re.IGNORECASE)


class Adder:
    name = "ADDER"
    learns = False  # its runs become no traces: it is free anyway

    async def bid(self, task: Task, run: Run) -> Bid:
        if not SUM.fullmatch(task.goal):
            return Bid.cannot(UsageError("The goal is no sum.", fix="Say: Add 2 and 3"))
        return Bid(fit=1.0, cost_usd=0.0, reason="it is a sum")

    async def run(self, task: Task, run: Run) -> Result:
        return Result(success=True, output=str(sum(int(number) for number in re.findall(r"\d+", task.goal))))


@hookimpl
def llmos_strategies() -> Iterable[Strategy]:
    return [Adder()]

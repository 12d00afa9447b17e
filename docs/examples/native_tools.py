"""A plugin whose strategy can search the web by a means of its own, outside the kernel.

The name alone is contributed. From then on constraints may speak of it, such as ``--constraint "No WebSearch"``. The
strategy passes each use through ``run.begin`` and ``run.end``, so that guards judge it and the journal holds it.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmos_core import Bid, Result, Run, Strategy, Task, ToolCall, ToolResult, hookimpl


class Searcher:
    name = "SEARCHER"
    learns = False

    async def bid(self, task: Task, run: Run) -> Bid:
        return Bid(fit=0.95, reason="it can look for any words")

    async def run(self, task: Task, run: Run) -> Result:
        call = ToolCall(id="search-1", tool="WebSearch", input={"query": task.goal})
        verdict = await run.begin(call)
        if verdict.decision != "allow":
            return Result(success=False, output=verdict.reason)
        found = ToolResult(output=f"Nothing is known of: {task.goal}")  # here a search would happen
        await run.end(call.id, found)
        return Result(success=True, output=found.output)


@hookimpl
def llmos_strategies() -> Iterable[Strategy]:
    return [Searcher()]


@hookimpl
def llmos_native_tools() -> Iterable[str]:
    return ["WebSearch"]

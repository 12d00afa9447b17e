"""Hook implementations."""

from __future__ import annotations

from llmos_core import Outcome, Run, ToolCall, hookimpl


@hookimpl
async def llmos_approve(call: ToolCall, run: Run) -> bool | None:
    """Answer what is remembered of this very call; approvals for once are used up by it."""
    from llmos_plugin_approvals.answering import answer

    return await answer(call, run)


@hookimpl
async def llmos_stop(outcome: Outcome, run: Run) -> None:
    """Forget the approvals for once: they were for this run, unless it could not do it."""
    from llmos_plugin_approvals.answering import end

    await end(outcome, run)

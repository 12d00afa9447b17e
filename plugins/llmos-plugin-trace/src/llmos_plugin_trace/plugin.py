"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable

from llmos_core import Outcome, Run, Strategy, hookimpl


@hookimpl
async def llmos_stop(outcome: Outcome, run: Run) -> Outcome | None:
    """Write a learned run down as a trace, verified by replay."""
    if not run.learns:
        return None
    from llmos_plugin_trace.keep import keep_run

    return await keep_run(outcome, run)


@hookimpl
def llmos_strategies() -> Iterable[Strategy]:
    """The Verifier, for ``llmos traces verify``."""
    from llmos_plugin_trace.verifier import Verifier

    return [Verifier()]

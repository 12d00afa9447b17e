"""What a replayed step costs in a warm process: a tool that does nothing, through the full gate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from llmos_core import LLMOS, Run, Step, StepResult, ToolCall, ToolResult, Trace, Verdict, replay
from llmos_core.host.settings import SettingsFile
from llmos_core.records import now
from tests.parts import Echo, Parts, Script

SIZES = (1, 10, 100, 1_000)
STEPS_MEASURED = 10_000


async def guard(call: ToolCall) -> Verdict | None:
    return None


async def observer(call: ToolCall, result: ToolResult) -> None:
    return None


def trace_of(steps: int) -> Trace:
    step = Step(
        title="Echo", tool="Echo", effect="pure", arguments={"text": "hello"}, result=StepResult(output="hello")
    )
    return Trace(
        goal_signature="0" * 16,
        goal_text="echo",
        success_rating=1,
        created_at=now(),
        estimated_cost_usd=0,
        cost_billing="free",
        estimated_time_secs=0,
        mode="LEARNER",
        tools_used=("Echo",),
        steps=(step,) * steps,
    )


async def microseconds(workspace: Path | None, size: int) -> float:
    """Median time per step, two guards and an observer attached."""
    figures: list[float] = []

    async def act(run: Run) -> str:
        trace = trace_of(size)
        for _ in range(max(5, STEPS_MEASURED // size // 5)):
            started = time.perf_counter()
            assert (await replay(trace, {}, run)).ok
            figures.append((time.perf_counter() - started) / size * 1e6)
        return ""

    plugins = {
        "parts": Parts([Echo()], [Script(act)], llmos_pre_tool_use=guard, llmos_post_tool_use=observer),
        "second": Parts(llmos_pre_tool_use=guard),
    }
    if workspace is None:
        system = LLMOS.in_memory(plugins)
    else:
        system = LLMOS(workspace, settings=SettingsFile(), discover=False, plugins=plugins)
    async with system:
        assert (await system.execute("replay")).success
    return statistics.median(figures)


def report(folder: Path) -> Iterator[str]:
    yield "| steps | journal in memory | journal on disk |"
    yield "|---|---|---|"
    for size in SIZES:
        memory = anyio.run(microseconds, None, size)
        disk = anyio.run(microseconds, folder / "steps", size)
        yield f"| {size:,} | {memory:.0f} µs | {disk:.0f} µs |"

"""A limit on money holds at the model door: for the run, and for the runs within it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import LLMOS, BudgetError, Run, Task
from llmos_core.host.settings import SettingsFile
from llmos_core.kernel.metering import Meters
from llmos_core.kernel.pricing import Price
from tests.parts import Model, Parts, Script, ask, request


async def test_a_sub_run_is_bounded_by_its_parent_and_counts_for_it() -> None:
    async def parent(run: Run) -> str:
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(run.execute, Task(goal="part", mode="CHILD", max_cost_usd=1.0))
        return "done"

    async def child(run: Run) -> str:
        for _ in range(3):
            await ask(run, request(max_tokens=2_000))
        return "done"

    model = Model()
    scripts = [Script(parent, name="PARENT"), Script(child, name="CHILD")]
    system = LLMOS.in_memory({"parts": Parts(strategies=scripts, models=[model])})
    outcome = await system.execute("whole", mode="parent", max_cost_usd=0.05)
    one = outcome.cost_usd / len(model.asked)
    assert 0 < outcome.cost_usd <= 0.05
    assert 0 < len(model.asked) < 24
    assert one > 0


async def test_a_refused_request_is_not_sent() -> None:
    model = Model()
    parts = Parts(strategies=[Script(ask)], models=[model])
    outcome = await LLMOS.in_memory({"parts": parts}).execute("whole", max_cost_usd=0.000_001)
    assert outcome.error is not None
    assert outcome.exit_code == 3
    assert model.asked == []
    assert outcome.cost_usd == 0


@given(
    limit=st.floats(min_value=1e-6, max_value=10),
    price=st.builds(Price, input=st.floats(min_value=0, max_value=100), output=st.floats(min_value=0, max_value=500)),
    asked=st.lists(st.integers(min_value=1, max_value=200_000), min_size=1, max_size=5),
    text=st.text(max_size=200),
)
def test_what_is_held_never_passes_a_limit(limit: float, price: Price, asked: list[int], text: str) -> None:
    outer = Meters(limit)
    inner = Meters(None, outer)
    held = []
    for tokens in asked:
        wanted = request(max_tokens=tokens, system=text)
        context = inner.held(wanted, price)
        try:
            granted, worst = context.__enter__()
        except BudgetError:
            continue
        held.append(context)
        assert granted.message["max_tokens"] <= tokens
        assert worst == price.worst_micros(granted)
        assert outer.held_micros <= round(limit * 1_000_000)
    for context in held:
        context.__exit__(None, None, None)
    assert (outer.held_micros, inner.held_micros) == (0, 0)


async def test_a_reply_that_breaks_off_counts_at_its_worst_for_the_limit() -> None:
    class Breaking(Model):
        async def _send(self) -> AsyncIterator[bytes]:
            yield self.chunks[0]
            raise OSError("cut off")

    async def act(run: Run) -> str:
        for _ in range(50):
            with suppress(OSError):
                await ask(run, request(max_tokens=4_000))
        return "done"

    model = Breaking()
    parts = Parts(strategies=[Script(act)], models=[model])
    outcome = await LLMOS.in_memory({"parts": parts}).execute("whole", max_cost_usd=0.1)
    assert outcome.exit_code == 3
    assert len(model.asked) == 3


async def test_a_scratch_run_is_bounded_too(tmp_path: Path) -> None:
    async def act(run: Run) -> str:
        await run.start_state()
        async with run.scratch() as copy:
            await ask(copy, request(max_tokens=2_000))
        return "done"

    model = Model()
    parts = Parts(strategies=[Script(act)], models=[model])
    settings = SettingsFile()
    async with LLMOS(tmp_path / "space", settings=settings, discover=False, plugins={"parts": parts}) as system:
        outcome = await system.execute("whole")
        refused = await system.execute("whole", max_cost_usd=0.000_001)
    assert outcome.cost_usd > 0
    assert (refused.exit_code, len(model.asked)) == (3, 1)

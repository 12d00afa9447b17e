"""Each check of strategies can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import Bid, LLMOSError, ModelRequest, Result, Run, Task, ToolCall, UsageError
from llmos_testkit.conformance import StrategyConformance

from .conformance_parts import assert_each_check_can_fail, run_checks

BODY = json.dumps({"model": "m", "max_tokens": 9, "messages": [], "stream": True}).encode()


class Good:
    """Calls a tool, asks the model, and is done."""

    name: Any = "GOOD"
    learns: Any = False

    async def bid(self, task: Task, run: Run) -> Any:
        await anyio.lowlevel.checkpoint()
        if task.continues:
            return Bid.cannot(UsageError("It begins anew each time."))
        return Bid(fit=0.5, reason="it tries")

    async def run(self, task: Task, run: Run) -> Any:
        await self.act(run)
        async with run.ask(ModelRequest.parse("r1", BODY)) as reply:
            said = b"".join([chunk async for chunk in reply.chunks])
        return Result(success=b"Done." in said, output="done")

    async def act(self, run: Run) -> None:
        await run.call(ToolCall(id="c1", tool="Probe", input={"text": "hello"}))


def bidding(change: Any) -> Any:
    class Bidding(Good):
        async def bid(self, task: Task, run: Run) -> Any:
            bid = await super().bid(task, run)
            return await change(self, bid, task, run)

    return Bidding


async def silent_bid(self: Any, bid: Bid, task: Task, run: Run) -> Any:
    return bid.model_copy(update={"reason": ""})


async def unexplained(self: Any, bid: Bid, task: Task, run: Run) -> Any:
    return bid.model_copy(update={"refusal": None})


async def calling(self: Any, bid: Bid, task: Task, run: Run) -> Any:
    await run.call(ToolCall(id="c0", tool="Probe", input={}))
    return bid


async def writing(self: Any, bid: Bid, task: Task, run: Run) -> Any:
    (run.workdir / "bid").touch()
    return bid


async def rising(self: Any, bid: Bid, task: Task, run: Run) -> Any:
    self.cost = getattr(self, "cost", 0.0) + 0.1
    return bid.model_copy(update={"cost_usd": self.cost})


class DeafBid(Good):
    async def bid(self, task: Task, run: Run) -> Any:
        try:
            return await super().bid(task, run)
        except anyio.get_cancelled_exc_class():
            return Bid(fit=0.1, reason="it was interrupted")


class Raising(Good):
    async def run(self, task: Task, run: Run) -> Any:
        await super().run(task, run)
        raise KeyError("its own fault")


class Mute(Good):
    async def run(self, task: Task, run: Run) -> Any:
        await super().run(task, run)
        return Result(success=False)


class Curious(Good):
    async def run(self, task: Task, run: Run) -> Any:
        assert run.machine  # type: ignore[attr-defined]
        return await super().run(task, run)


class Bypassing(Good):
    async def act(self, run: Run) -> None:
        from llmos_testkit.conformance.stage import ProbeInput

        tool = run._run.machine.tools["Probe"]  # type: ignore[attr-defined]
        await tool.run(ProbeInput(), run)


class AtHome(Good):
    async def act(self, run: Run) -> None:
        (Path.home() / "notes").touch()


class Deaf(Good):
    async def run(self, task: Task, run: Run) -> Any:
        try:
            return await super().run(task, run)
        except anyio.get_cancelled_exc_class():
            return Result(success=True)


def conforming(make: Any) -> type:
    class Checked(StrategyConformance):
        @pytest.fixture
        def strategy(self) -> Any:
            return make()

    return Checked


MUTANTS: dict[str, Any] = {
    "test_fulfils_the_contract": type("Half", (Good,), {"learns": "sometimes"}),
    "test_name_is_an_upper_case_mode": type("Lower", (Good,), {"name": "Good"}),
    "test_bid_says_how_fit_it_is_and_why": bidding(silent_bid),
    "test_bid_of_one_that_cannot_act_says_why": bidding(unexplained),
    "test_bid_passes_no_door": bidding(calling),
    "test_bid_changes_nothing": bidding(writing),
    "test_bid_says_the_same_again": bidding(rising),
    "test_bid_passes_its_cancellation_on": DeafBid,
    "test_run_gives_a_result": Raising,
    "test_a_failed_run_says_why": Mute,
    "test_run_uses_the_contract_only": Curious,
    "test_run_passes_the_doors": Bypassing,
    "test_run_leaves_what_is_outside_alone": AtHome,
    "test_run_passes_its_cancellation_on": Deaf,
}


def test_each_check_can_fail(tmp_path: Path) -> None:
    mutants = {check: conforming(make) for check, make in MUTANTS.items()}
    # The core takes no such strategy, so nothing of it can run:
    runs = {check for check in MUTANTS if check.startswith("test_run_")} | {"test_a_failed_run_says_why"}
    also = {"test_name_is_an_upper_case_mode": runs}
    assert_each_check_can_fail(tmp_path, StrategyConformance, conforming(Good), mutants, also=also)


def test_a_strategy_that_cannot_act_on_the_goal_is_not_run(tmp_path: Path) -> None:
    ran = []

    class Unable(Good):
        async def bid(self, task: Task, run: Run) -> Any:
            raise LLMOSError("It cannot act.")

        async def run(self, task: Task, run: Run) -> Any:
            ran.append(task)
            return await super().run(task, run)

    went = run_checks(tmp_path, {"unable": conforming(Unable)}).verdicts["unable"]
    assert not ran
    assert went["test_run_gives_a_result"] == "skipped"
    assert "failed" not in went.values()


def test_what_it_needs_can_be_prepared(tmp_path: Path) -> None:
    class Needy(Good):
        async def bid(self, task: Task, run: Run) -> Any:
            return Bid(fit=1.0, reason="ready") if run.state.get("ready") else Bid.cannot(LLMOSError("not ready"))

    class Checked(conforming(Needy)):  # type: ignore[misc]
        async def prepare(self, run: Run) -> None:
            run.state["ready"] = True

    went = run_checks(tmp_path, {"needy": Checked}).verdicts["needy"]
    assert set(went.values()) == {"passed"}

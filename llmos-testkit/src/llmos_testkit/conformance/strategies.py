"""What every strategy keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import anyio
import pytest

from llmos_core import Bid, LLMOSError, ModelUsed, Result, Run, Strategy, Task, ToolDenied, ToolOutput, ToolStarted
from llmos_testkit.conformance.base import Conformance, Watched, swallows_cancellation
from llmos_testkit.conformance.stage import (
    GOAL,
    Kit,
    Model,
    NotPublicError,
    PublicRun,
    changes,
    history,
    stage,
    system_in,
    tree,
    without,
)


class StrategyConformance(Conformance):
    """Checks of a :class:`llmos_core.Strategy`. Give it as the fixture ``strategy``.

    ``goal`` is a goal that it is run with. In the run there are a tool ``Probe`` and a model that says "Done."; what
    else it needs to act, :meth:`prepare` makes.
    """

    goal: ClassVar[str] = GOAL

    @pytest.fixture
    def strategy(self) -> Strategy:
        """The strategy under test."""
        raise NotImplementedError("give the strategy: override the fixture `strategy`")

    async def prepare(self, run: Run) -> None:
        """Called before the strategy bids for the task that it will run: store a trace here, say."""

    def test_fulfils_the_contract(self, strategy: Strategy) -> None:
        assert isinstance(strategy, Strategy), f"{type(strategy).__name__} lacks a part of llmos_core.Strategy"
        assert isinstance(strategy.learns, bool), "learns is neither True nor False"

    def test_name_is_an_upper_case_mode(self, strategy: Strategy) -> None:
        name = strategy.name
        assert isinstance(name, str), "the name is no text"
        assert name.isidentifier(), f"{name!r} is no mode: letters, digits and _ only"
        assert name == name.upper(), f"{name!r} is not upper-case"
        assert name != "AUTO", "AUTO is the mode in which strategies bid"

    async def test_bid_says_how_fit_it_is_and_why(self, strategy: Strategy, place: Path) -> None:
        for task in self._tasks(strategy):
            bid = await self._bid(strategy, place, task)
            assert isinstance(bid, Bid), f"bid() gave {type(bid).__name__}, not a Bid"
            assert 0 <= bid.fit <= 1, f"the fit is {bid.fit}, not within 0 and 1"
            assert bid.cost_usd >= 0, f"the cost is {bid.cost_usd}"
            assert bid.reason.strip(), "the bid gives no reason"

    async def test_bid_of_one_that_cannot_act_says_why(self, strategy: Strategy, place: Path) -> None:
        for task in self._tasks(strategy):
            bid = await self._bid(strategy, place, task)
            if bid.fit == 0:
                assert bid.refusal is not None, f"its fit is 0, and it has no refusal (task: {task})"
                assert bid.refusal.what.strip(), "its refusal says nothing"

    async def test_bid_passes_no_door(self, strategy: Strategy, place: Path) -> None:
        events: list[Any] = []
        await self._bid(strategy, place, self._tasks(strategy)[0], events)
        passed = [e.type for e in events if isinstance(e, ToolStarted | ToolDenied | ModelUsed)]
        assert not passed, f"a bid is cheap, and this one made: {', '.join(passed)}"

    async def test_bid_changes_nothing(self, strategy: Strategy, place: Path) -> None:
        async with stage(place, self._others()) as run:
            before = tree(place.parent)
            await _bid(strategy, self._tasks(strategy)[0], run)
            changed = changes(before, tree(place.parent))
        assert not changed, f"the bid changed: {', '.join(changed)}"

    async def test_bid_says_the_same_again(self, strategy: Strategy, place: Path) -> None:
        task = self._tasks(strategy)[0]
        async with stage(place, self._others(), task) as run:
            first, second = await _bid(strategy, task, run), await _bid(strategy, task, run)
        assert first == second, f"first it bid {first}, then {second}"

    async def test_bid_passes_its_cancellation_on(self, strategy: Strategy, place: Path) -> None:
        task = self._tasks(strategy)[0]
        async with stage(place, self._others(), task) as run:
            swallowed = await swallows_cancellation(lambda: strategy.bid(task, run))
        assert not swallowed, "bid() swallowed its cancellation"

    async def test_run_gives_a_result(self, strategy: Strategy, place: Path) -> None:
        watched = await self._execute(strategy, place)
        if isinstance(watched.error, LLMOSError | NotPublicError):
            return
        assert watched.error is None, f"run() raised {watched.error!r}: only an LLMOSError is raised on purpose"
        assert isinstance(watched.result, Result), f"run() gave {type(watched.result).__name__}, not a Result"

    async def test_a_failed_run_says_why(self, strategy: Strategy, place: Path) -> None:
        watched = await self._execute(strategy, place)
        result = watched.result
        if isinstance(result, Result) and not result.success:
            assert result.error is not None, "the result is a failure without an error"
            assert result.error.what.strip(), "the error says nothing"

    async def test_run_uses_the_contract_only(self, strategy: Strategy, place: Path) -> None:
        watched = await self._execute(strategy, place)
        assert not isinstance(watched.error, NotPublicError), f"{watched.error}"

    async def test_run_passes_the_doors(self, strategy: Strategy, place: Path) -> None:
        watched = await self._execute(strategy, place)
        called = sum(isinstance(event, ToolOutput) and event.tool == "Probe" for event in watched.events)
        asked = sum(isinstance(event, ModelUsed) for event in watched.events)
        assert watched.kit.probe.ran == called, "a tool was run past the tool door"
        assert watched.kit.model.asked == asked, "a model was asked past the model door"

    async def test_run_leaves_what_is_outside_alone(self, strategy: Strategy, place: Path, home: Path) -> None:
        before = tree(home)
        await self._execute(strategy, place)
        changed = changes(before, tree(home))
        assert not changed, f"it changed in the user's home: {', '.join(changed)}"

    async def test_run_passes_its_cancellation_on(self, strategy: Strategy, place: Path) -> None:
        watched = await self._execute(strategy, place, silent=True)
        assert not watched.swallowed, "run() swallowed its cancellation"

    def _tasks(self, strategy: Strategy) -> list[Task]:
        mode = strategy.name
        return [
            Task(goal=self.goal, mode=mode),
            Task(goal=self.goal),
            Task(
                goal="\u00dcberpr\u00fcfe dies \U0001f600",
                mode=mode,
                inputs={"n": [1, None]},
                constraints=("Be kind.",),
            ),
            Task(goal=self.goal, mode=mode, relearn=True),
            Task(goal=self.goal, mode=mode, permission_mode="plan"),
            Task(goal=self.goal, mode=mode, continues="2020-01-01-000000-000000"),
            Task(goal=self.goal, mode=mode, version="0" * 16),
        ]

    async def _bid(self, strategy: Strategy, place: Path, task: Task, events: list[Any] | None = None) -> Any:
        async with stage(place, self._others(), task) as run:
            bid = await _bid(strategy, task, run)
            if events is not None:
                events += await history(run)
        return bid

    async def _execute(self, strategy: Strategy, place: Path, *, silent: bool = False) -> _WatchedStrategy:
        """Run a task by it, in a system. A ``silent`` model makes it wait; it is cancelled there, or at its start."""
        kit = Kit((), Model(silent=silent))
        watched = _WatchedStrategy(strategy, kit, self.prepare, cancelled=silent)
        kit._strategies = [watched]
        system = system_in(place, {"conformance-kit": kit, **self._others()})
        await system.execute_task(Task(goal=self.goal, mode=strategy.name), watched.events.append)
        if not watched.ran:
            pytest.skip(f"it cannot act on {self.goal!r}: give a `goal`, or what it needs in `prepare`")
        return watched

    def _others(self) -> dict[str, object]:
        hooks = ("llmos_strategies", "llmos_stop")
        return {name: without(plugin, *hooks) for name, plugin in self.plugins.items()}


class _WatchedStrategy:
    """The strategy under test, with an eye on what it gets and gives."""

    def __init__(
        self, strategy: Strategy, kit: Kit, prepare: Callable[[Run], Awaitable[None]], *, cancelled: bool
    ) -> None:
        self.name, self.learns = strategy.name, bool(strategy.learns)
        self.kit = kit
        self.events: list[Any] = []
        self.result: Any = None
        self.error: BaseException | None = None
        self.swallowed = False
        self.ran = False
        self._strategy = strategy
        self._prepare = prepare
        self._cancelled = cancelled

    async def bid(self, task: Task, run: Run) -> Bid:
        await self._prepare(run)
        bid: Bid = await _bid(self._strategy, task, cast("Run", PublicRun(run)))
        return bid

    async def run(self, task: Task, run: Run) -> Result:
        self.ran = True
        public = cast("Run", PublicRun(run))
        work = self._cancel if self._cancelled else self._complete
        await work(lambda: self._strategy.run(task, public))
        return self.result if isinstance(self.result, Result) else Result(success=False)

    async def _complete(self, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            self.result = await work()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what it raises is judged by the checks
            self.error = error

    async def _cancel(self, work: Callable[[], Awaitable[Any]]) -> None:
        watched = Watched(work())
        async with anyio.create_task_group() as group:

            async def at_the_model() -> None:
                await self.kit.model.reached.wait()
                group.cancel_scope.cancel()

            group.start_soon(at_the_model)
            try:
                await watched
            except Exception as error:  # noqa: BLE001 - an error in place of the cancellation is judged below
                self.error = error
            group.cancel_scope.cancel()
        self.swallowed = watched.swallowed or (watched.cancelled and self.error is not None)


async def _bid(strategy: Strategy, task: Task, run: Run) -> Any:
    """The bid; an LLMOSError is a refusal, as it is to the dispatcher."""
    try:
        return await strategy.bid(task, run)
    except LLMOSError as error:
        return Bid.cannot(error)

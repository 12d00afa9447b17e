"""LLMOS: boot, execute, explain, shut down. The Python API."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from typing import Any, Self, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream
from pydantic import ValidationError

from llmos_core.boot import assemble
from llmos_core.constraints import read_constraints
from llmos_core.contracts import HookFunction, Strategy
from llmos_core.dispatcher import Auction, Dispatcher
from llmos_core.errors import LLMOSError, RunInterruptedError, RunTimeoutError, UsageError, describe
from llmos_core.events import AnyEvent, Event, ModeChosen, Notice, RunFinished, UserInput
from llmos_core.goal import MAX_GOAL_CHARS, check_goal
from llmos_core.host.host import Host
from llmos_core.host.settings import SettingsFile, load_settings
from llmos_core.kernel.hooks import observe
from llmos_core.kernel.journal import MemoryJournal
from llmos_core.kernel.run import KernelRun
from llmos_core.kernel.slots import Slots
from llmos_core.past import PastRun, find_journal, find_run
from llmos_core.records import AUTO, Outcome, Result, Task, ToolCall, Verdict
from llmos_core.run import Run
from llmos_core.workspace import Project, Workspace, find_workspace, new_run_id

OnEvent = Callable[[AnyEvent], Awaitable[None] | None]
"""A function that is told of events; it may be async."""

OnAsk = Callable[[ToolCall, Verdict, Run], Awaitable[bool | None] | bool | None]
"""A function that answers as the hook ``llmos_approve`` does; it may be async, else it is called in a thread."""

_MOST_FAULTS = 100
_NOWHERE = Path("/nonexistent")


class LLMOS:
    """A booted system. Use it as an async context manager.

    Args:
        workspace: the workspace's directory; None finds it as the command line does.
        settings: settings already read; None reads the nearest ``llmos.toml``.
        discover: whether installed plugins are loaded.
        plugins: further plugin objects, by name.

    Raises:
        WorkspaceError: the workspace cannot be used.
        SettingsError: the settings are wrong.

    Example::

        async with LLMOS() as system:
            outcome = await system.execute("Create a Python script that prints the primes below 50 and run it")

    """

    def __init__(
        self,
        workspace: str | Path | None = None,
        *,
        settings: SettingsFile | None = None,
        discover: bool = True,
        plugins: Mapping[str, object] | None = None,
    ) -> None:
        file = settings or load_settings()
        space = find_workspace(workspace, file.path, file.settings.workspace)
        space.open()
        self._boot(file, space, Host(file, discover=discover, plugins=plugins, local=space.plugins))

    @classmethod
    def in_memory(cls, plugins: Mapping[str, object] | None = None, settings: SettingsFile | None = None) -> Self:
        """A system without disk, CLI or network, made of the given plugins alone: for unit tests."""
        system = cls.__new__(cls)
        file = settings or SettingsFile()
        system._boot(file, None, Host(file, discover=False, plugins=plugins))
        return system

    def _boot(self, settings: SettingsFile, workspace: Workspace | None, host: Host) -> None:
        self.settings = settings
        self.workspace = workspace
        self.host = host
        strategies = host.collect("llmos_strategies", Strategy)
        self.dispatcher = Dispatcher({name: strategy.value for name, strategy in strategies.items()})
        self.machine = assemble(host, settings, workspace, self._execute_within)
        self._natives = sorted(host.names("llmos_native_tools") - self.machine.tools.keys())
        host.remember()
        self._slots = Slots(settings.settings.limits.parallel_runs)
        self._untold = list(host.faults)
        self._told: set[str] = set()
        self._open: AsyncExitStack | None = None
        self._lone = anyio.Lock()

    async def __aenter__(self) -> Self:
        self._open = AsyncExitStack()
        await self._open.enter_async_context(self._observed())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._open is not None
        # The body's own error is not passed on to the group of observers, which would wrap it.
        await self._open.aclose()
        self._open = None

    @asynccontextmanager
    async def _observed(self) -> AsyncIterator[None]:
        """While the context is open, the observers of plugins are told of every event."""
        async with anyio.create_task_group() as observers:
            subscriptions = [await observers.start(self._watch, hook) for hook in self.machine.hooks["llmos_event"]]
            try:
                yield
            finally:
                for subscription in subscriptions:
                    self.machine.bus.end(subscription)
                # What observers have not seen by then they miss: a dead one must not keep the process alive.
                observers.cancel_scope.deadline = anyio.current_time() + self.machine.limits.observer_timeout_s

    async def _watch(self, hook: HookFunction, *, task_status: TaskStatus[MemoryObjectReceiveStream[Event]]) -> None:
        limit = self.machine.limits.observer_timeout_s
        with self.events() as events:
            task_status.started(events)
            async for event in events:
                await observe([hook], {"event": event}, limit, self._note)

    def _note(self, fault: str) -> None:
        """Keep a fault of an observer to be told, once: telling it is an event too, which may bring it about again."""
        if fault not in self._told and len(self._told) < _MOST_FAULTS:
            self._told.add(fault)
            self._untold.append(fault)

    def _tell(self, run: KernelRun) -> None:
        while self._untold:
            run.warn(self._untold.pop(0))

    def events(self) -> AbstractContextManager[MemoryObjectReceiveStream[Event]]:
        """All events published while the context is open, of every run, in order."""
        return self.machine.bus.subscribe()

    async def execute(
        self,
        goal: str,
        project_name: str | None = None,
        *,
        on_event: OnEvent | None = None,
        on_ask: OnAsk | None = None,
        **fields: Any,
    ) -> Outcome:
        """Run a goal in a project. ``fields`` are those of :class:`llmos_core.records.Task`.

        ``on_event`` is called with every event of the run, as it happens; it may be async. If it raises, the run ends,
        and the error is raised here. ``on_ask`` is asked about calls that need approval, after the plugins' approvers.
        """
        if project_name is not None:
            fields["project"] = project_name
        return await self.execute_task(make_task(goal, **fields), on_event, on_ask)

    def create_project(self, name: str, description: str = "") -> Project:
        """Make a project, or find it. Raises WorkspaceError for a name that could lead out of the workspace."""
        return self._space.create_project(name, description)

    def past(self, run_id: str) -> PastRun:
        """A run that is over, by its id, by the last digits of it, or the ``last``. Raises UsageError."""
        space, states = self._space, self.machine.states
        assert states is not None
        return find_run(space, run_id, states, self.machine.limits.start_state)

    @property
    def _space(self) -> Workspace:
        if self.workspace is None:
            raise UsageError("This system has no workspace.", "It keeps everything in memory.")
        return self.workspace

    async def execute_task(self, task: Task, on_event: OnEvent | None = None, on_ask: OnAsk | None = None) -> Outcome:
        """Run a task to its outcome; a failed run is an outcome too.

        Outside ``async with``, tasks run one after the other. Raises UsageError or WorkspaceError for a task that
        cannot even begin.
        """
        if self._open is None or self._lone.locked():
            async with self._lone, self:
                return await self._admit(task, on_event, on_ask)
        return await self._admit(task, on_event, on_ask)

    async def _admit(self, task: Task, on_event: OnEvent | None, on_ask: OnAsk | None) -> Outcome:
        async with self._slots.taken(task.priority):
            run = await self._make_run(task)
            if on_ask is not None:
                run.asked = [HookFunction("caller", on_ask, ("call", "verdict", "run"), iscoroutinefunction(on_ask))]
            return await self._execute(run, on_event)

    async def _execute_within(self, task: Task, parent: KernelRun) -> Outcome:
        """Run a task of another run. It needs no slot: its parent, which waits for it, has one."""
        return await self._execute(await self._make_run(task, parent=parent))

    async def _execute(self, run: KernelRun, on_event: OnEvent | None = None) -> Outcome:
        if on_event is None:
            return await self._to_its_end(run)
        try:
            with self.machine.bus.subscribe() as events:
                async with anyio.create_task_group() as group:
                    group.start_soon(_pass_on, events, run.id, on_event)
                    outcome = await self._to_its_end(run)
        except ExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
        return outcome

    async def _to_its_end(self, run: KernelRun) -> Outcome:
        started, task = anyio.current_time(), run.task
        outcome = None
        try:
            run.emit(UserInput(task=task, parent=run.parent.id if run.parent else None))
            self._tell(run)
            async with run.services:
                result = await self._run(task, run)
                ended = self._outcome(run, result, anyio.current_time() - started)
                # What was learned is verified within the deadline; what failed is kept in any case.
                left = task.timeout_s - (anyio.current_time() - started) if task.timeout_s and result.success else None
                with anyio.move_on_after(left):
                    ended = await run.finish(ended)
            outcome = ended.model_copy(update={"duration_s": round(anyio.current_time() - started, 3)})
            return outcome
        finally:
            if outcome is None:
                with anyio.CancelScope(shield=True):
                    await run.keep_end()
                interrupted = Result.failed(RunInterruptedError("The run was interrupted."))
                outcome = self._outcome(run, interrupted, anyio.current_time() - started)
            self._tell(run)
            run.emit(RunFinished(outcome=outcome))
            run.journal.close()

    async def explain(self, task: Task) -> Auction:
        """Hold the auction for a task, and run nothing."""
        run = await self._make_run(task, keep=False)
        return await self.dispatcher.auction(task, run, to_the_end=True)

    async def _make_run(self, task: Task, *, keep: bool = True, parent: KernelRun | None = None) -> KernelRun:
        check_goal(task.goal)
        self.dispatcher.check_mode(task.mode)
        rules = read_constraints(task.constraints, [*self.machine.tools, *self._natives])
        task = rules.applied(task)
        if task.continues is not None:
            continued = await anyio.to_thread.run_sync(find_journal, self._space, task.continues)
            task = task.model_copy(update={"continues": continued.stem})
        if parent is not None:
            rules = rules.within(parent.rules)
            if parent.task.permission_mode == "plan":
                task = task.model_copy(update={"permission_mode": "plan"})
        machine = self.machine if keep else dataclasses.replace(self.machine, make_journal=lambda _: MemoryJournal())
        if self.workspace is None:
            return KernelRun(machine, new_run_id(), task, _NOWHERE, _NOWHERE, _NOWHERE, rules, parent)
        project = self.workspace.project(task.project)
        place = partial(self.workspace.working_directory, project, task.directory, make=keep)
        workdir = await anyio.to_thread.run_sync(place)
        return KernelRun(machine, new_run_id(), task, workdir, self.workspace.root, project.root, rules, parent)

    async def _run(self, task: Task, run: KernelRun) -> Result:
        """What the strategy gave; every fault of it becomes a failed result."""
        result = Result(success=False)
        try:
            with anyio.move_on_after(task.timeout_s) as run.scope:
                auction = await self.dispatcher.auction(task, run)
                if auction.winner is None:
                    return Result(success=False, error=auction.refusal)
                run.mode = auction.winner.name
                for notice in (*auction.bids[run.mode].notices, *_not_followed(auction)):
                    run.emit(Notice(text=notice))
                if auction.winner.learns:
                    for sentence in run.rules.told:
                        run.emit(Notice(text=f"Told to the model, not enforced: {sentence}"))
                run.emit(ModeChosen(mode=run.mode, reason=auction.reason, bids=auction.offers))
                run.learns = auction.winner.learns
                result = await auction.winner.run(task, run)
            if run.scope.cancelled_caught and not run.halted:
                limit = f"It was given {task.timeout_s:g} s."
                raise RunTimeoutError("The run passed its deadline.", limit, "Raise --timeout, or ask for less.")
        except LLMOSError as error:
            result = Result.failed(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a strategy's own fault is a failed outcome
            result = Result.failed(LLMOSError(f"The strategy {run.mode} failed by its own fault.", describe(error)))
        finally:
            run.scope = None
        return Result.failed(run.halted) if run.halted else result

    def _outcome(self, run: KernelRun, result: Result, duration_s: float) -> Outcome:
        return Outcome(
            run_id=run.id,
            goal=run.task.goal,
            mode=run.mode,
            success=result.success,
            output=self.machine.redact(result.output),
            cost_usd=round(run.meters.cost_usd, 6),
            billing=run.meters.billing,
            saved_usd=result.saved_usd,
            saved_billing=result.saved_billing,
            duration_s=round(duration_s, 3),
            steps=result.steps or run.meters.steps,
            trace_id=result.trace_id,
            trace_version=result.trace_version,
            project=run.task.project,
            directory=str(run.workdir) if self.workspace else None,
            error=result.error,
        )


async def _pass_on(events: MemoryObjectReceiveStream[Event], run_id: str, on_event: OnEvent) -> None:
    """Hand a run's events, and those of the runs within it, to a callback."""
    async for event in of_run(events, run_id):
        answer = on_event(event)
        if isawaitable(answer):
            await answer


async def of_run(events: MemoryObjectReceiveStream[Event], run_id: str | None = None) -> AsyncIterator[AnyEvent]:
    """The events of a run and of the runs within it, up to its end. Without an id: of the first that begins."""
    family = {run_id} if run_id else set[str]()
    async for event in events:
        if isinstance(event, UserInput) and (event.parent in family or not family):
            family.add(event.run_id)
            run_id = run_id or event.run_id
        if event.run_id in family:
            yield cast("AnyEvent", event)
            if isinstance(event, RunFinished) and event.run_id == run_id:
                return


def _not_followed(auction: Auction) -> Iterator[str]:
    """Why the first trace that fits was passed over, if it was: who learned a goal wonders why it is not followed."""
    for candidate in auction.candidates[:1]:
        if candidate.refused:
            trace = f"{candidate.trace_id[:8]}, version {candidate.version[:8]}"
            yield f"Not followed: trace {trace}: {candidate.refused}"


def make_task(goal: str, **fields: Any) -> Task:
    """A checked task; ``mode`` in either case. Raises UsageError for a goal or field that is wrong."""
    fields["mode"] = str(fields.get("mode") or AUTO).upper()
    try:
        task = Task(goal=check_goal(goal), **fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{first['loc'][0]}: {first['msg']}.") from error
    _check_data(task)
    return task


def _check_data(task: Task) -> None:
    """Inputs and constraints must be text that a journal and a trace can hold, or the run would be lost on them."""
    try:
        text = json.dumps([task.inputs, task.constraints], ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        fix = "Give data that JSON and UTF-8 can hold."
        raise UsageError("The inputs cannot be used.", f"{error}.", fix) from error
    if len(text) > MAX_GOAL_CHARS:
        raise UsageError(
            "The inputs are too long.",
            f"With the constraints they have {len(text):,} characters; at most {MAX_GOAL_CHARS:,} are accepted.",
            "Put long material into a file in the working directory and name the file in the goal.",
        )

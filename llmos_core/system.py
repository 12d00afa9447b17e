"""LLMOS: boot, execute, explain, shut down. The Python API."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream
from pydantic import ValidationError

from llmos_core.boot import assemble
from llmos_core.contracts import HookFunction, Strategy
from llmos_core.dispatcher import Auction, Dispatcher
from llmos_core.errors import LLMOSError, RunInterruptedError, RunTimeoutError, UsageError
from llmos_core.goal import check_goal
from llmos_core.host.host import Host
from llmos_core.host.settings import SettingsFile, load_settings
from llmos_core.kernel.hooks import describe, observe
from llmos_core.kernel.journal import MemoryJournal
from llmos_core.kernel.run import KernelRun
from llmos_core.records import Event, ModeChosen, Notice, Outcome, Result, RunFinished, Task, UserInput
from llmos_core.workspace import Workspace, find_workspace, new_run_id

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
        PluginError: contributions of plugins collide.

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
        self._boot(file, space, Host(file, discover=discover, plugins=plugins))

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
        self.dispatcher = Dispatcher(host.collect("llmos_strategies", Strategy))
        self.machine = assemble(host, settings, workspace, self.execute_task)
        self._untold = list(host.faults)

    async def __aenter__(self) -> Self:
        self._observers = await anyio.create_task_group().__aenter__()
        for hook in self.machine.hooks["llmos_event"]:
            await self._observers.start(self._watch, hook)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.machine.bus.close()
        # What observers have not seen by then they miss: a dead one must not keep the process alive.
        self._observers.cancel_scope.deadline = anyio.current_time() + self.machine.limits.observer_timeout_s
        # The body's own error is not passed on to the group, which would wrap it.
        await self._observers.__aexit__(None, None, None)

    async def _watch(self, hook: HookFunction, *, task_status: TaskStatus[None]) -> None:
        limit = self.machine.limits.observer_timeout_s
        with self.events() as events:
            task_status.started()
            async for event in events:
                await observe([hook], {"event": event}, limit, self._untold.append)

    def events(self) -> AbstractContextManager[MemoryObjectReceiveStream[Event]]:
        """All events published while the context is open, of every run, in order."""
        return self.machine.bus.subscribe()

    async def execute(self, goal: str, **fields: Any) -> Outcome:
        """Run a goal. ``fields`` are those of :class:`llmos_core.records.Task`."""
        return await self.execute_task(make_task(goal, **fields))

    async def execute_task(self, task: Task) -> Outcome:
        """Run a task to its outcome; a failed run is an outcome too.

        Raises UsageError or WorkspaceError for a task that cannot even begin.
        """
        run = await self._make_run(task)
        started = time.monotonic()
        outcome = None
        try:
            run.emit(UserInput(task=task))
            while self._untold:
                run.warn(self._untold.pop(0))
            result = await self._run(task, run)
            outcome = await run.finish(self._outcome(run, result, time.monotonic() - started))
            return outcome
        finally:
            if outcome is None:
                interrupted = Result.failed(RunInterruptedError("The run was interrupted."))
                outcome = self._outcome(run, interrupted, time.monotonic() - started)
            run.emit(RunFinished(outcome=outcome))
            run.journal.close()

    async def explain(self, task: Task) -> Auction:
        """Hold the auction for a task, and run nothing."""
        run = await self._make_run(task, keep=False)
        return await self.dispatcher.auction(task, run, to_the_end=True)

    async def _make_run(self, task: Task, *, keep: bool = True) -> KernelRun:
        check_goal(task.goal)
        self.dispatcher.check_mode(task.mode)
        machine = self.machine if keep else dataclasses.replace(self.machine, make_journal=lambda _: MemoryJournal())
        if self.workspace is None:
            return KernelRun(machine, new_run_id(), task, _NOWHERE, _NOWHERE, _NOWHERE)
        project = self.workspace.project(task.project)
        place = partial(self.workspace.working_directory, project, task.directory, make=keep)
        workdir = await anyio.to_thread.run_sync(place)
        return KernelRun(machine, new_run_id(), task, workdir, self.workspace.root, project.root)

    async def _run(self, task: Task, run: KernelRun) -> Result:
        """What the strategy gave; every fault of it becomes a failed result."""
        result = Result(success=False)
        try:
            with anyio.move_on_after(task.timeout_s) as deadline:
                auction = await self.dispatcher.auction(task, run)
                if auction.winner is None:
                    return Result(success=False, error=auction.refusal)
                run.mode = auction.winner.name
                for notice in (*auction.bids[run.mode].notices, *_not_followed(auction)):
                    run.emit(Notice(text=notice))
                run.emit(ModeChosen(mode=run.mode, reason=auction.reason, bids=auction.offers))
                run.learns = auction.winner.learns
                result = await auction.winner.run(task, run)
            if deadline.cancelled_caught:
                limit = f"It was given {task.timeout_s:g} s."
                raise RunTimeoutError("The run passed its deadline.", limit, "Raise --timeout, or ask for less.")
        except LLMOSError as error:
            result = Result.failed(error)
        except Exception as error:  # noqa: BLE001 - a strategy's own fault is a failed outcome, told as such
            result = Result.failed(LLMOSError(f"The strategy {run.mode} failed by its own fault.", describe(error)))
        return result

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


def _not_followed(auction: Auction) -> Iterator[str]:
    """Why the first trace that fits was passed over, if it was: who learned a goal wonders why it is not followed."""
    for candidate in auction.candidates[:1]:
        if candidate.refused:
            trace = f"{candidate.trace_id[:8]}, version {candidate.version[:8]}"
            yield f"Not followed: trace {trace}: {candidate.refused}"


def make_task(goal: str, **fields: Any) -> Task:
    """A checked task; ``mode`` in either case. Raises UsageError for a goal or field that is wrong."""
    fields["mode"] = fields.get("mode", "auto").upper()
    try:
        return Task(goal=check_goal(goal), **fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{first['loc'][0]}: {first['msg']}.") from error

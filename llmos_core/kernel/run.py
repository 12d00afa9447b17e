"""The Run: all that a strategy or a plugin can do while a task runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from pydantic import BaseModel

from llmos_core.constraints import Rules
from llmos_core.contracts import (
    HookFunction,
    Ledger,
    Matcher,
    ModelProvider,
    ModelReply,
    ModelRequest,
    NoteStore,
    Tool,
    TraceStore,
)
from llmos_core.errors import LLMOSError, UsageError
from llmos_core.events import AnyEvent, LlmDelta, ModelUsed, Notice, ToolOutput
from llmos_core.kernel import gate, models
from llmos_core.kernel.bus import Bus
from llmos_core.kernel.hooks import HookTable, observe, transform
from llmos_core.kernel.journal import Journal
from llmos_core.kernel.metering import Meters
from llmos_core.kernel.pricing import Price
from llmos_core.kernel.scratch import scratch_directory
from llmos_core.kernel.services import Services
from llmos_core.kernel.snapshot import Bounds, capture, lay_out
from llmos_core.kernel.states import Moment, StateStore
from llmos_core.records import AgentSpec, Outcome, Record, Task, ToolCall, ToolResult, TreeState, Verdict, now
from llmos_core.run import ModelInfo, Run, Serve, ToolInfo

S = TypeVar("S", bound=BaseModel)


_NOT_ON_DISK = TreeState(missing="this system keeps nothing on disk")


class Limits(Record):
    """Bounds of the kernel. Times in seconds."""

    guard_timeout_s: float = 5.0
    observer_timeout_s: float = 5.0
    first_byte_timeout_s: float = 600.0
    stall_timeout_s: float = 120.0
    start_state: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Machine:
    """What all runs of a system share."""

    hooks: HookTable
    tools: Mapping[str, Tool]
    infos: Mapping[str, ToolInfo]
    agents: Mapping[str, AgentSpec]
    traces: TraceStore
    notes: NoteStore | None
    matchers: Sequence[Matcher]
    choose_model: Callable[[], ModelProvider]
    ledger: Ledger
    prices: Mapping[str, Price]
    limits: Limits
    settings: Callable[[type[Any]], Any]
    execute: Callable[[Task, KernelRun], Coroutine[Any, Any, Outcome]]
    make_journal: Callable[[str], Journal]
    bus: Bus
    states: StateStore | None
    secrets: tuple[str, ...] = ()

    def redact(self, text: str) -> str:
        """The text with ``***`` for each credential: a model, a trace or a person must not see them."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


@dataclass
class KernelRun:
    """The kernel's implementation of :class:`llmos_core.contracts.Run`."""

    machine: Machine
    id: str
    task: Task
    workdir: Path
    workspace: Path
    scratch_root: Path
    rules: Rules = field(default_factory=Rules)
    parent: KernelRun | None = None
    learns: bool = False
    is_copy: bool = False
    scope: anyio.CancelScope | None = None
    state: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meters: Meters = Meters(self.task.max_cost_usd, self.parent.meters if self.parent else None)
        self.journal = self.machine.make_journal(self.id)
        self.mode = self.task.mode
        self._offline = False
        self._seq = 0
        self.calling: set[str] = set()
        self.natives: dict[str, tuple[ToolCall, float]] = {}
        self._scratches = 0
        self._views: dict[str, AgentView] = {}
        self._start: TreeState | None = None
        self._end: TreeState | None = None
        self._start_lock = anyio.Lock()
        self._provider: ModelProvider | None = None
        self.asked: Sequence[HookFunction] = self.parent.asked if self.parent else ()
        self.approved: dict[str, str] = {}
        self.ahead = Counter[str]()
        self.halted: LLMOSError | None = None
        self.services = Services(self.warn)
        self.tools = {name: info for name, info in self.machine.infos.items() if self.rules.admits(name)}

    @property
    def agents(self) -> Mapping[str, AgentSpec]:
        return self.machine.agents

    @property
    def traces(self) -> TraceStore:
        return self.machine.traces

    @property
    def notes(self) -> NoteStore:
        if self.machine.notes is None:
            fix = 'Install one that does: pip install "llmos-core[standard]"'
            raise UsageError("No notes are kept.", "The memory backend keeps traces only.", fix)
        return self.machine.notes

    @property
    def matchers(self) -> Sequence[Matcher]:
        return self.machine.matchers

    @property
    def model(self) -> ModelInfo:
        return ModelInfo.of(self.provider)

    @property
    def provider(self) -> ModelProvider:
        """The provider that the model door asks. Raises UsageError where none is ready."""
        if self._provider is None:
            self._provider = self.machine.choose_model()
        return self._provider

    @property
    def is_offline(self) -> bool:
        return self._offline or bool(self.parent and self.parent.is_offline)

    @property
    def left_usd(self) -> float | None:
        return self.meters.left_usd

    @property
    def files(self) -> Path:
        path = self.files_of(self.id)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def files_of(self, run_id: str) -> Path:
        if self.machine.states is None:
            raise LLMOSError("This system keeps no files.", "It has no workspace.")
        return self.machine.states.files(run_id)

    async def call(self, call: ToolCall) -> ToolResult:
        return await gate.call_tool(self, call)

    async def judge(self, call: ToolCall) -> Verdict:
        return await gate.judge_call(self, call)

    async def foresee(self, calls: Sequence[ToolCall]) -> Sequence[Verdict]:
        return await gate.foresee(self, calls)

    async def begin(self, call: ToolCall) -> Verdict:
        return await gate.begin_native(self, call)

    async def end(self, call_id: str, result: ToolResult) -> None:
        await gate.end_native(self, call_id, result)

    def ask(self, request: ModelRequest) -> AbstractAsyncContextManager[ModelReply]:
        return models.ask_model(self, request)

    async def execute(self, task: Task) -> Outcome:
        return await self.machine.execute(task, self)

    def go_offline(self) -> None:
        self._offline = True

    async def submit_prompt(self, prompt: str) -> str:
        hooks = self.machine.hooks["llmos_user_prompt_submit"]
        limit = self.machine.limits.observer_timeout_s
        return await transform(hooks, "prompt", prompt, {"run": self}, limit, self.warn)

    async def finish(self, outcome: Outcome) -> Outcome:
        """The outcome after the chain of ``llmos_stop``. Its links take the time they need."""
        await self.keep_end()
        hooks = self.machine.hooks["llmos_stop"]
        return await transform(hooks, "outcome", outcome, {"run": self}, float("inf"), self.warn)

    async def service(self, key: str, serve: Serve) -> Any:
        return await self.services.get(key, serve)

    def of_agent(self, agent_id: str | None) -> Run:
        """The run as an agent's tools see it: a sub-agent has a ``state`` of its own (its shell's directory, say)."""
        if agent_id is None:
            return self
        if agent_id not in self._views:
            self._views[agent_id] = AgentView(self)
        return cast("Run", self._views[agent_id])

    def emit(self, event: AnyEvent) -> None:
        if isinstance(event, LlmDelta):
            self.machine.bus.publish(event.model_copy(update={"run_id": self.id, "at": now()}))
            return
        self._seq += 1
        stamped = event.model_copy(update={"run_id": self.id, "seq": self._seq, "at": now()})
        if isinstance(stamped, ToolOutput):
            self.meters.steps += 1
        self.journal.append(stamped)
        self.machine.bus.publish(stamped)

    def warn(self, text: str) -> None:
        self.emit(Notice(level="warning", text=text))

    async def charge(self, used: ModelUsed) -> None:
        self.meters.add(round(used.cost_usd * 1_000_000), used.billing)
        self.emit(used)
        hooks = self.machine.hooks["llmos_post_model_response"]
        if hooks:
            await observe(hooks, {"response": used, "run": self}, self.machine.limits.observer_timeout_s, self.warn)

    def history(self) -> AsyncIterator[AnyEvent]:
        return self.journal.events()

    def settings(self, kind: type[S]) -> S:
        settings: S = self.machine.settings(kind)
        return settings

    async def start_state(self) -> TreeState:
        async with self._start_lock:
            if self._start is None:
                self._start = await anyio.to_thread.run_sync(self._keep, "starts")
        return self._start

    def _keep(self, moment: Moment) -> TreeState:
        states = self.machine.states
        if states is None:
            return _NOT_ON_DISK
        try:
            state = capture(self.workdir, self.machine.limits.start_state, states.keep)
            states.save(self.id, state, moment)
        except OSError as error:
            return TreeState(missing=f"the state of the working directory was not kept: {error}")
        return state

    async def keep_end(self) -> None:
        """Keep the state that the run leaves, where it could change something: for comparing and undoing it."""
        if self._start is not None and self._end is None and self.machine.states is not None:
            self._end = await anyio.to_thread.run_sync(self._keep, "ends")

    async def tree_state(self) -> TreeState:
        if self.machine.states is None:
            return _NOT_ON_DISK
        if self._end is not None:
            return self._end
        return await anyio.to_thread.run_sync(capture, self.workdir, self.machine.limits.start_state)

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Run]:
        start, states = await self.start_state(), self.machine.states
        if start.missing or states is None:
            raise LLMOSError("There is no scratch copy.", start.missing or "")
        self._scratches += 1
        async with scratch_directory(self.scratch_root, f"{self.id}-{self._scratches}") as target:
            await anyio.to_thread.run_sync(lay_out, start, states.content, target)
            name = f"{self.id}.verify" if self._scratches == 1 else f"{self.id}.verify{self._scratches}"
            run = KernelRun(self.machine, name, self.task, target, self.workspace, self.scratch_root, self.rules, self)
            run._start, run.is_copy, run.approved = start, True, self.approved
            try:
                async with run.services:
                    yield run
            finally:
                run.journal.close()


class AgentView:
    """A run with another ``state``."""

    def __init__(self, run: KernelRun) -> None:
        self._run = run
        self.state: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

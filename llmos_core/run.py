"""The Run: all that a plugin can do while a task runs, and what it is told of tools and models there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pydantic import BaseModel

from llmos_core.contracts import Matcher, ModelProvider, ModelReply, ModelRequest, NoteStore, TraceStore
from llmos_core.events import AnyEvent, ModelUsed
from llmos_core.records import AgentSpec, Billing, Effect, Outcome, Task, ToolCall, ToolResult, TreeState, Verdict

S = TypeVar("S", bound=BaseModel)

Serve = Callable[..., Coroutine[Any, Any, None]]
"""``async def serve(*, task_status)``: hands out a value by ``task_status.started(value)``, and goes on serving."""


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """What a run tells of a tool, and who brought it. It can be run by ``run.call`` only."""

    name: str
    description: str
    input_model: type[BaseModel]
    effect: Callable[[Any], Effect]
    plugin: str
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a run tells of the provider behind ``run.ask``, which alone can ask it."""

    name: str
    billing: Billing
    fallback: bool
    notices: Callable[[], Sequence[str]]
    check: Callable[[Task, Run], None]
    priced: Callable[[str, Run], bool]

    @classmethod
    def of(cls, provider: ModelProvider) -> Self:
        return cls(
            provider.name, provider.billing, provider.fallback, provider.notices, provider.check, provider.priced
        )


class Run(Protocol):
    """All that a plugin can do during a run. There is no other way to run a tool or to ask a model."""

    @property
    def id(self) -> str:
        """It names the run in journals, events and commands."""
        ...

    @property
    def task(self) -> Task:
        """What is to be done, and how."""
        ...

    @property
    def workdir(self) -> Path:
        """The one directory that tools may write, resolved when the run began."""
        ...

    @property
    def is_copy(self) -> bool:
        """Whether this run replays in a scratch copy: what has effects outside must not have them twice."""
        ...

    @property
    def is_offline(self) -> bool:
        """Whether commands of this run must not reach a network."""
        ...

    def go_offline(self) -> None:
        """From now on ``is_offline``: for this run, its copies and what it executes."""
        ...

    @property
    def workspace(self) -> Path:
        """The workspace's root; tools may read below it."""
        ...

    @property
    def tools(self) -> Mapping[str, ToolInfo]:
        """The tools that this task may use, by name."""
        ...

    @property
    def agents(self) -> Mapping[str, AgentSpec]:
        """The agents of plugins and of the workspace, by name."""
        ...

    @property
    def traces(self) -> TraceStore:
        """The traces of the workspace."""
        ...

    @property
    def notes(self) -> NoteStore:
        """The notes of the workspace. Raises UsageError where the memory backend keeps none."""
        ...

    @property
    def matchers(self) -> Sequence[Matcher]:
        """The matchers of all plugins."""
        ...

    @property
    def model(self) -> ModelInfo:
        """The provider behind ``ask``. Raises UsageError where none is ready."""
        ...

    @property
    def files(self) -> Path:
        """A directory for plugins' own files of this run, which no tool may write; kept for a while after it."""
        ...

    def files_of(self, run_id: str) -> Path:
        """The same directory of an earlier run; it need not exist (any more)."""
        ...

    @property
    def learns(self) -> bool:
        """Whether the strategy that runs this task makes traces."""
        ...

    @property
    def state(self) -> dict[str, Any]:
        """Working memory of plugins for this run, by plugin or tool name."""
        ...

    @property
    def left_usd(self) -> float | None:
        """What this run may still spend, in US dollars, by its own limit and those of the runs it is within."""
        ...

    async def call(self, call: ToolCall) -> ToolResult:
        """The tool door. Denied and failed calls come back as results with ``is_error``."""
        ...

    async def judge(self, call: ToolCall) -> Verdict:
        """Let the guards judge what is no tool call of its own (the start of a sub-agent); people, where they say Ask.

        Where nobody answers, the verdict is still ``ask``, and the run ends.
        """
        ...

    async def foresee(self, calls: Sequence[ToolCall]) -> Sequence[Verdict]:
        """Judge calls that are to come, before the first is made: what the guards say of each.

        If they deny none, people are asked where they say Ask. Refusals are told as events; where nobody answers, the
        run ends. Each call is judged again when it is made, but what was approved here is not asked again.
        """
        ...

    async def begin(self, call: ToolCall) -> Verdict:
        """The first half of the tool door, for a call that something else executes (a native tool of the CLI).

        Unless it is allowed, it must not be executed; if it is, :meth:`end` must follow.
        """
        ...

    async def end(self, call_id: str, result: ToolResult) -> None:
        """The second half: how the call that was begun ended. Raises UsageError for one that was not begun."""
        ...

    async def charge(self, used: ModelUsed) -> None:
        """Book a request that could not pass the model door: a program with its own login made it."""
        ...

    def ask(self, request: ModelRequest) -> AbstractAsyncContextManager[ModelReply]:
        """The model door. Raises DeniedError or BudgetError before anything is sent."""
        ...

    async def execute(self, task: Task) -> Outcome:
        """Run a sub-task through the dispatcher, in a run of its own."""
        ...

    async def submit_prompt(self, prompt: str) -> str:
        """The prompt after the chain of ``llmos_user_prompt_submit``."""
        ...

    async def service(self, key: str, serve: Serve) -> Any:
        """What ``serve`` hands out, as anyio's ``start`` does; it is started once for each key of the run.

        It lives in a task that belongs to the run, and is cancelled when the run ends. If it fails before it has
        handed out anything, that error is raised here; the next call starts it anew, as after a later death.
        """
        ...

    def emit(self, event: AnyEvent) -> None:
        """Write an event into the journal, then tell all who watch. The kernel stamps run, number and time."""
        ...

    def history(self) -> AsyncIterator[AnyEvent]:
        """The events of this run so far, from the journal."""
        ...

    def settings(self, kind: type[S]) -> S:
        """The validated settings that a plugin contributed as this model."""
        ...

    async def start_state(self) -> TreeState:
        """The working directory as it was before the first tool call that could change it."""
        ...

    async def tree_state(self) -> TreeState:
        """The working directory as it is now."""
        ...

    def scratch(self) -> AbstractAsyncContextManager[Run]:
        """A run in a temporary copy of the start state: same gate, its own directory, its own events."""
        ...

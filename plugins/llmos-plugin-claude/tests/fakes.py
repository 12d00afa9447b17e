"""A Run without a kernel: it records what passes its doors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from llmos_core import (
    AgentSpec,
    AnyEvent,
    BudgetError,
    Effect,
    ModelProvider,
    ModelReply,
    ModelRequest,
    Task,
    ToolCall,
    ToolResult,
    Verdict,
)
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_plugin_claude.settings import ClaudeSettings

S = TypeVar("S", bound=BaseModel)


class Words(BaseModel):
    """The input of the tool ``Echo``."""

    model_config = ConfigDict(extra="forbid")

    text: str


class Echo:
    """Does what the test says, by default gives back its text."""

    name = "Echo"
    description = "Give back a text."
    input_model = Words

    def __init__(self, act: Callable[[str], Awaitable[ToolResult]] | None = None) -> None:
        self._act = act

    def effect(self, input: Words) -> Effect:
        return "pure"

    async def run(self, input: Words, run: Any) -> ToolResult:
        return await self._act(input.text) if self._act else ToolResult(output=f"echo: {input.text}")


class FakeRun:
    """Judges, asks and calls as told, and writes down what was asked of it."""

    id = "run-1"
    learns = True

    def __init__(
        self,
        workdir: Path,
        model: ModelProvider | None = None,
        *,
        echo: Echo | None = None,
        agents: Mapping[str, AgentSpec] | None = None,
        settings: ClaudeSettings | None = None,
        task: Task | None = None,
    ) -> None:
        self.workdir = self.workspace = workdir
        self.model = model or AnthropicProvider({"ANTHROPIC_API_KEY": "sk-test"}, settings)
        self.task = task or Task(goal="Say something.")
        self.tools = {"Echo": echo or Echo()}
        self.agents = dict(agents or {})
        self.state: dict[str, Any] = {}
        self.events: list[AnyEvent] = []
        self.calls: list[ToolCall] = []
        self.asked: list[ModelRequest] = []
        self.judged: list[ToolCall] = []
        self.ended: dict[str, ToolResult] = {}
        self.verdict = Verdict.allow()
        self.requests_left = 1_000
        self.ask_fault: Exception | None = None
        self.call_fault: Exception | None = None
        self._settings = settings or ClaudeSettings()

    @property
    def files(self) -> Path:
        path = self.files_of(self.id)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def files_of(self, run_id: str) -> Path:
        return self.workdir.parent / "files" / run_id

    @property
    def left_usd(self) -> float | None:
        return self.task.max_cost_usd

    async def call(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        if self.call_fault:
            raise self.call_fault
        tool = self.tools[call.tool]
        return await tool.run(tool.input_model.model_validate(call.input), self)

    async def judge(self, call: ToolCall) -> Verdict:
        self.judged.append(call)
        return self.verdict

    async def begin(self, call: ToolCall) -> Verdict:
        self.calls.append(call)
        return self.verdict

    async def end(self, call_id: str, result: ToolResult) -> None:
        self.ended[call_id] = result

    @asynccontextmanager
    async def ask(self, request: ModelRequest) -> AsyncIterator[ModelReply]:
        self.asked.append(request)
        if self.ask_fault:
            raise self.ask_fault
        if self.requests_left == 0:
            raise BudgetError("The budget is used up.", "It was $1.", "Raise the limit.")
        self.requests_left -= 1
        async with self.model.open(request, self) as reply:  # type: ignore[arg-type]
            yield reply

    async def submit_prompt(self, prompt: str) -> str:
        return prompt

    def emit(self, event: AnyEvent) -> None:
        self.events.append(event)

    def settings(self, kind: type[S]) -> S:
        assert isinstance(self._settings, kind)
        return self._settings

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

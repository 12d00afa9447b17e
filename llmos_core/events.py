"""The event stream: what happens in a run, as frozen records told apart by their ``type``."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from llmos_core.records import Billing, Effect, Offer, Outcome, Record, Task, ToolCall, ToolResult, Usage, Verdict


class Event(Record):
    """Base of the event stream. The kernel stamps ``run_id``, ``seq`` (from 1, per run) and ``at``."""

    run_id: str = ""
    seq: int = 0
    at: datetime | None = None


class UserInput(Event):
    """A task entered the system; ``parent`` is the run that gave it, where it was not a user."""

    type: Literal["user_input"] = "user_input"
    task: Task
    parent: str | None = None


class ModeChosen(Event):
    """The auction is over."""

    type: Literal["mode_chosen"] = "mode_chosen"
    mode: str
    reason: str
    bids: tuple[Offer, ...] = ()


class ToolStarted(Event):
    """A call passed the guards; written before its effect. ``native`` calls are executed outside the kernel.

    ``verdict`` is what a guard said by a rule of its own, where one did.
    """

    type: Literal["tool_started"] = "tool_started"
    call: ToolCall
    effect: Effect
    native: bool = False
    verdict: Verdict | None = None


class ToolOutput(Event):
    """A started call ended."""

    type: Literal["tool_output"] = "tool_output"
    call_id: str
    tool: str
    result: ToolResult
    duration_s: float


class ToolApproved(Event):
    """A call that the guards said Ask to was approved, ``by`` a plugin or the ``caller``; written before it starts."""

    type: Literal["tool_approved"] = "tool_approved"
    call: ToolCall
    verdict: Verdict
    by: str


class ToolDenied(Event):
    """The guards refused a call; it did not run. With an ``ask`` verdict, it needed approval and nobody answered."""

    type: Literal["tool_denied"] = "tool_denied"
    call: ToolCall
    verdict: Verdict


class ModelUsed(Event):
    """A model request ended. ``complete`` is False where the reply broke off, so that usage is a lower bound."""

    type: Literal["model_used"] = "model_used"
    request_id: str
    provider: str
    model: str
    status: int
    usage: Usage
    cost_usd: float
    billing: Billing
    complete: bool
    agent_id: str | None = None


class AgentStarted(Event):
    """A sub-agent began. ``agent_id`` is what its calls and requests carry; ``task`` is what it was asked to do."""

    type: Literal["agent_started"] = "agent_started"
    agent_id: str
    name: str
    task: str = ""


class AgentFinished(Event):
    """A sub-agent ended."""

    type: Literal["agent_finished"] = "agent_finished"
    agent_id: str
    name: str


class LlmDelta(Event):
    """A piece of text as the model writes it. Published live only, with the ``seq`` 0: journals hold the whole text."""

    type: Literal["llm_delta"] = "llm_delta"
    text: str
    agent_id: str | None = None

    @property
    def content(self) -> str:
        """The text, under the name that streaming callbacks know."""
        return self.text


class LlmOutput(Event):
    """Text written by the model."""

    type: Literal["llm_output"] = "llm_output"
    text: str
    agent_id: str | None = None


class Notice(Event):
    """Something the user should know."""

    type: Literal["notice"] = "notice"
    level: Literal["info", "warning", "error"] = "info"
    text: str


class TraceSaved(Event):
    """A run was written down as a trace. ``reason`` says why it is not followable, where it is not."""

    type: Literal["trace_saved"] = "trace_saved"
    trace_id: str
    version: str
    followable: bool
    reason: str = ""
    verify_s: float | None = None


class RunFinished(Event):
    """The last event of a run."""

    type: Literal["outcome"] = "outcome"
    outcome: Outcome


AnyEvent = Annotated[
    UserInput
    | ModeChosen
    | ToolStarted
    | ToolOutput
    | ToolApproved
    | ToolDenied
    | ModelUsed
    | AgentStarted
    | AgentFinished
    | LlmDelta
    | LlmOutput
    | Notice
    | TraceSaved
    | RunFinished,
    Field(discriminator="type"),
]
"""Any event of the stream, told apart by its ``type``."""

"""The records that pass between core and plugins: frozen pydantic models, no behaviour beyond validation.

Annotations are evaluated here at once: as strings, pydantic would have to compile each of them again.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from llmos_core.errors import ExitCode, LLMOSError

AUTO = "AUTO"
"""The mode in which strategies bid for a task; every other mode is the name of a strategy."""

Effect = Literal["pure", "workspace", "external"]
"""What a tool call can change: nothing, the working directory only, or anything."""

Billing = Literal["real", "rehearsal", "free"]
"""Whether the cost of a model request was paid, is only a list price, or is nothing."""


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ErrorInfo(Record):
    """An :class:`LLMOSError` as data: what happened, why, what to do, and the exit code it means."""

    what: str
    why: str = ""
    fix: str = ""
    exit_code: int = ExitCode.FAILED

    @classmethod
    def of(cls, error: LLMOSError) -> Self:
        return cls(what=error.what, why=error.why, fix=error.fix, exit_code=error.exit_code)


class Task(Record):
    """A goal together with how it shall be run: the program of LLM OS.

    ``timeout_s`` is in seconds. ``directory`` is the working directory (absolute); None means the
    project's ``output/``. ``version`` asks for that version of the goal's trace. Text limits are checked by
    :func:`llmos_core.goal.check_goal`.
    """

    goal: str
    mode: str = AUTO
    project: str = "default"
    directory: str | None = None
    version: str | None = None
    model: str | None = None
    max_turns: Annotated[int, Field(ge=1)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None


class ToolCall(Record):
    """One call of a kernel tool. ``agent_id`` names the sub-agent that made it, None the main agent."""

    id: str
    tool: str
    input: dict[str, JsonValue] = Field(default_factory=dict)
    agent_id: str | None = None


class ToolResult(Record):
    """What a tool call gave. ``output`` is exactly the text the model sees.

    ``exit_code`` is set by tools that run a process. ``data`` holds structured details for plugins.
    """

    output: str
    is_error: bool = False
    exit_code: int | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict)


class Verdict(Record):
    """A guard's judgement. ``rule`` identifies the rule that decided."""

    decision: Literal["allow", "ask", "deny"]
    reason: str = ""
    rule: str = ""

    @classmethod
    def allow(cls) -> Self:
        return cls(decision="allow")

    @classmethod
    def ask(cls, reason: str, rule: str = "") -> Self:
        return cls(decision="ask", reason=reason, rule=rule)

    @classmethod
    def deny(cls, reason: str, rule: str = "") -> Self:
        return cls(decision="deny", reason=reason, rule=rule)


class AgentSpec(Record):
    """An agent that a Learner may delegate to. ``tools`` are kernel tool names; None means all of them."""

    name: str
    description: str
    system_prompt: str
    category: str = "general"
    tools: tuple[str, ...] | None = None
    model: str | None = None
    capabilities: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()


class Usage(Record):
    """Tokens of one model request as the Messages API counts them."""

    input_tokens: Annotated[int, Field(ge=0)] = 0
    output_tokens: Annotated[int, Field(ge=0)] = 0
    cache_read_tokens: Annotated[int, Field(ge=0)] = 0
    cache_write_5m_tokens: Annotated[int, Field(ge=0)] = 0
    cache_write_1h_tokens: Annotated[int, Field(ge=0)] = 0
    web_searches: Annotated[int, Field(ge=0)] = 0


class FileState(Record):
    """One entry of a directory. ``digest`` is the SHA-256 of a file's bytes, ``target`` the text of a link."""

    kind: Literal["file", "directory", "link"]
    mode: int
    size: int = 0
    digest: str | None = None
    target: str | None = None


class TreeState(Record):
    """The state of a directory: entries by relative POSIX path. ``missing`` says why it is incomplete, if it is."""

    entries: dict[str, FileState] = Field(default_factory=dict)
    missing: str | None = None


class Candidate(Record):
    """A trace that a matcher proposes for a goal.

    ``score`` (0..1) says how surely it fits the goal. ``refused`` is None only for a trace that may be
    followed, else the exact reason why not.
    """

    trace_id: str
    version: str
    score: Annotated[float, Field(ge=0, le=1)]
    values: dict[str, JsonValue] = Field(default_factory=dict)
    refused: str | None = None


class Bid(Record):
    """A strategy's offer for a task. ``fit`` 0 means it cannot act; ``refusal`` then says why.

    ``notices`` are told to the user before anything else if this bid wins.
    """

    fit: Annotated[float, Field(ge=0, le=1)]
    cost_usd: Annotated[float, Field(ge=0)] = 0.0
    reason: str
    notices: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    refusal: ErrorInfo | None = None

    @classmethod
    def cannot(cls, error: LLMOSError, candidates: tuple[Candidate, ...] = ()) -> Self:
        """A bid that says: this strategy cannot act, for this reason."""
        return cls(fit=0.0, reason=error.what, refusal=ErrorInfo.of(error), candidates=candidates)


class Offer(Record):
    """One line of the auction: a strategy and what it bid."""

    strategy: str
    fit: float
    cost_usd: float
    reason: str


class Result(Record):
    """What a strategy gives back; the kernel makes the :class:`Outcome` of it.

    ``steps`` is only given where the calls were not those of the run itself; else the kernel counts them.
    """

    success: bool
    output: str = ""
    error: ErrorInfo | None = None
    steps: int = 0
    trace_id: str | None = None
    trace_version: str | None = None
    saved_usd: float = 0.0
    saved_billing: Billing = "free"

    @classmethod
    def failed(cls, error: LLMOSError, **fields: Any) -> Self:
        return cls(success=False, error=ErrorInfo.of(error), **fields)


class Outcome(Record):
    """How a run ended. Money in US dollars, time in seconds.

    ``billing`` says what ``cost_usd`` is: paid, a list price of a rehearsal, or nothing; ``saved_billing`` the same of
    ``saved_usd``.
    ``followable`` is None where the run made no trace.
    """

    run_id: str
    goal: str
    mode: str
    success: bool
    output: str
    cost_usd: float
    billing: Billing
    saved_usd: float
    saved_billing: Billing = "free"
    duration_s: float
    steps: int
    trace_id: str | None
    trace_version: str | None
    followable: bool | None = None
    project: str
    directory: str | None
    error: ErrorInfo | None

    @property
    def exit_code(self) -> int:
        if self.error is not None:
            return self.error.exit_code
        return ExitCode.DONE if self.success else ExitCode.FAILED


class Event(Record):
    """Base of the event stream. The kernel stamps ``run_id``, ``seq`` (from 1, per run) and ``at``."""

    run_id: str = ""
    seq: int = 0
    at: datetime | None = None


class UserInput(Event):
    """A task entered the system."""

    type: Literal["user_input"] = "user_input"
    task: Task


class ModeChosen(Event):
    """The auction is over."""

    type: Literal["mode_chosen"] = "mode_chosen"
    mode: str
    reason: str
    bids: tuple[Offer, ...] = ()


class ToolStarted(Event):
    """A call passed the guards; written before its effect."""

    type: Literal["tool_started"] = "tool_started"
    call: ToolCall
    effect: Effect


class ToolOutput(Event):
    """A started call ended."""

    type: Literal["tool_output"] = "tool_output"
    call_id: str
    tool: str
    result: ToolResult
    duration_s: float


class ToolDenied(Event):
    """The guards refused a call; it did not run."""

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
    | ToolDenied
    | ModelUsed
    | LlmOutput
    | Notice
    | TraceSaved
    | RunFinished,
    Field(discriminator="type"),
]
"""Any event of the stream, told apart by its ``type``."""

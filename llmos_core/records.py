"""The records that pass between core and plugins: frozen pydantic models, no behaviour beyond validation.

Annotations are evaluated here at once: as strings, pydantic would have to compile each of them again.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, field_serializer

from llmos_core.errors import ExitCode, LLMOSError

# With the first validator that it builds, pydantic reads the entry points of every distribution for plugins of its own.
# One with damaged metadata makes that fail, once: here it harms nothing, and the next validator is built without them.
with suppress(Exception):
    TypeAdapter(int)

AUTO = "AUTO"
"""The mode in which strategies bid for a task; every other mode is the name of a strategy."""

Effect = Literal["pure", "workspace", "external"]
"""What a tool call can change: nothing, the working directory only, or anything."""

Billing = Literal["real", "rehearsal", "free"]
"""Whether the cost of a model request was paid, is only a list price, or is nothing."""


PermissionMode = Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]
"""The SDK's permission modes: how native tools are let through. ``plan`` binds the kernel too: nothing may change."""


class Clock:
    """The time, for the core and for plugins: a test may put another in the place of ``now``."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)


clock = Clock()


def now() -> datetime:
    """The current time, aware, in UTC."""
    return clock.now()


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
    """A goal together with how it shall be run: the program of LLM OS (the seed's TaskBlock).

    ``inputs`` are data for the goal. ``constraints`` are sentences: those of a known form are enforced (see
    :func:`llmos_core.constraints.read_constraints`), all are told to the model. Of tasks that wait, one with a higher
    ``priority`` begins first. ``timeout_s`` is in seconds, ``max_cost_usd`` bounds what the run may spend.
    ``directory`` is the working directory (absolute); None means the project's ``output/``. ``version`` asks for that
    version of the goal's trace. ``system_prompt`` is a text, or ``preset:NAME`` and further lines to append.
    ``env`` holds variables for commands; journals keep their names only. ``relearn`` forbids to follow. ``continues``
    is the run whose conversation goes on. Text limits are checked by :func:`llmos_core.goal.check_goal`.
    """

    goal: str
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    mode: str = AUTO
    project: str = "default"
    directory: str | None = None
    version: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    permission_mode: PermissionMode | None = None
    env: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Annotated[str, Field(pattern=r"^[^\x00]*$")]
    ] = Field(default_factory=dict)
    max_turns: Annotated[int, Field(ge=1)] | None = None
    max_cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    relearn: bool = False
    continues: str | None = None

    @field_serializer("env")
    def _names_only(self, env: dict[str, str]) -> dict[str, str]:
        return dict.fromkeys(env, "***")


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
    def allow(cls, reason: str = "", rule: str = "") -> Self:
        return cls(decision="allow", reason=reason, rule=rule)

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


class Note(Record):
    """Something remembered: a fact that holds, or an insight drawn from runs. ``source`` says where it came from."""

    id: str
    kind: Literal["fact", "insight"] = "fact"
    text: Annotated[str, Field(min_length=1)]
    tags: tuple[str, ...] = ()
    project: str | None = None
    created_at: datetime
    source: str = ""


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
    followed, else the exact reason why not. ``missing`` names tools that it calls and that are not installed.
    ``foreign`` marks one that was learned elsewhere: of two that may be followed, the user's own one is.
    """

    trace_id: str
    version: str
    score: Annotated[float, Field(ge=0, le=1)]
    values: dict[str, JsonValue] = Field(default_factory=dict)
    refused: str | None = None
    missing: str | None = None
    foreign: bool = False


class Check(Record):
    """A finding about this machine. ``fix`` says what to do where it is not ``ok``."""

    name: str
    state: Literal["ok", "warning", "error"]
    detail: str
    fix: str = ""

    @classmethod
    def ok(cls, name: str, detail: str) -> Self:
        return cls(name=name, state="ok", detail=detail)

    @classmethod
    def warning(cls, name: str, detail: str, fix: str) -> Self:
        """Things go on, but less well than they could."""
        return cls(name=name, state="warning", detail=detail, fix=fix)

    @classmethod
    def error(cls, name: str, detail: str, fix: str) -> Self:
        """``doctor`` fails for it."""
        return cls(name=name, state="error", detail=detail, fix=fix)


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
        """What the command line exits with for it."""
        if self.error is not None:
            return self.error.exit_code
        return ExitCode.DONE if self.success else ExitCode.FAILED

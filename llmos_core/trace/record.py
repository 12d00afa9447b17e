"""The trace as a record: what a verified run did, step by step, free of any machine's paths."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from llmos_core.records import Billing, Effect, Record

FORMAT: Literal[1] = 1
"""The version of the Markdown form that this code writes."""


class Parameter(Record):
    """A slot ``{{name}}`` inside the arguments and results of steps.

    ``source`` says what binds it at replay: the run's working directory or the workspace.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    type: Literal["directory"] = "directory"
    source: Literal["workdir", "workspace"]


class StepResult(Record):
    """What the model saw after a step; a replay must see the same."""

    output: str
    is_error: bool = False
    exit_code: int | None = None


class Step(Record):
    """One tool call. ``arguments`` and ``result`` may hold slots. ``agent`` tells the calls of sub-agents apart."""

    title: str
    tool: str
    agent: str | None = None
    effect: Effect
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    result: StepResult


class ProducedFile(Record):
    """A file the run left behind: path relative to the working directory, SHA-256 (None: the run removed it)."""

    path: str
    digest: str | None


class UsedPlugin(Record):
    """A distribution whose tools the steps call."""

    distribution: str
    version: str
    tools: tuple[str, ...]


class Verification(Record):
    """How the trace was verified before it became followable."""

    method: Literal["replay"] = "replay"
    at: datetime
    steps: int
    files: int


class Trace(Record):
    """A readable program of tool calls. Money in US dollars, time in seconds.

    ``success_rating``, ``usage_count`` and ``last_used`` are those of the writing; live counts are kept by the store.
    ``plugins`` says where the tools came from, so that a machine without one can name it.
    ``inputs`` and ``constraints`` are those of the task, ``env`` the names of its variables: a trace is followed only
    where they are the same. ``completed`` is False for a run that failed or was cut off: no verification can make it
    followable.
    ``verified`` is None for experience that must not be followed; ``unverified_reason`` then says why.
    ``answer`` is the text that the run gave as its result (data; it may hold slots).
    """

    format: Literal[1] = FORMAT
    goal_signature: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    goal_text: str
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    success_rating: Annotated[float, Field(ge=0, le=1)]
    usage_count: Annotated[int, Field(ge=0)] = 0
    last_used: datetime | None = None
    created_at: datetime
    estimated_cost_usd: Annotated[float, Field(ge=0)]
    cost_billing: Billing
    completed: bool = True
    estimated_time_secs: Annotated[float, Field(ge=0)]
    mode: str
    tools_used: tuple[str, ...]
    plugins: tuple[UsedPlugin, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    verified: Verification | None = None
    unverified_reason: str | None = None
    steps: tuple[Step, ...]
    files: tuple[ProducedFile, ...] = ()
    answer: str = ""

    def missing(self, tools: Collection[str]) -> str | None:
        """The tools of the steps that are not among these, with the plugins that bring them; None if all are."""
        lacking = sorted({step.tool for step in self.steps} - set(tools))
        homes = {tool: f"{plugin.distribution} {plugin.version}" for plugin in self.plugins for tool in plugin.tools}
        return ", ".join(f"{tool} (of {homes[tool]})" if tool in homes else tool for tool in lacking) or None

"""The settings of this plugin: the table ``[plugins.claude]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from llmos_core import OWN

BASE_URL = r"^https?://[^/\s?#]+[^\s?#]*$"
"""The form of an address that speaks the Messages API."""

LOCAL_URL = r"^http://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(/[^\s?#]*)?$"
"""The form of an address on this machine."""

NativeTool = Literal[
    "Bash",
    "Edit",
    "Glob",
    "Grep",
    "NotebookEdit",
    "Read",
    "Skill",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskUpdate",
    "WebFetch",
    "WebSearch",
    "Write",
]
"""The tools of the CLI that may be switched on. Agents come with the run; its other tools have no use in one."""

Mode = Literal["default", "acceptEdits", "dontAsk", "bypassPermissions"]
"""The permission modes that may hold for every run; ``plan`` is asked for with a task."""


def _absolute(text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError("it must be an absolute path, or begin with ~")
    return str(path)


Folder = Annotated[str, AfterValidator(_absolute)]
"""A path, absolute or below the home directory."""


class McpServer(BaseModel):
    """An MCP server of the user's: a ``command`` with ``args`` and ``env``, or a ``url`` with ``headers``.

    ``type`` says how a ``url`` is spoken to: ``http`` or ``sse``. The command's environment is that of the CLI, which
    has a home directory of its own, and ``env``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Annotated[str, Field(min_length=1)] | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    url: Annotated[str, Field(pattern=BASE_URL)] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    type: Literal["http", "sse"] = "http"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("it needs either a command or a url")
        return self


def _not_ours(name: str) -> str:
    if name == "llmos" or "__" in name:
        raise ValueError("it may not be llmos, and hold no double underscore")
    return name


ServerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=40), AfterValidator(_not_ours)]
"""The name of an MCP server, which its tools carry: ``mcp__NAME__tool``. ``llmos`` is the kernel's."""


class ClaudeSettings(BaseModel):
    """How the Learner asks its model.

    A task's own ``model``, ``max_turns``, ``system_prompt`` and ``permission_mode`` go before those given here.

    * ``model`` is an alias (``sonnet``, ``opus``, ``haiku``) or a full model id; ``fallback_model`` is asked where that
      one is overloaded. ``effort`` and ``thinking`` (a number is a budget in tokens) say how much it may think.
    * ``base_url`` is a server on this machine where the provider ``anthropic`` sends its requests; None means the
      variable ``ANTHROPIC_BASE_URL``, else the public API. A settings file may come with a folder from anywhere: it
      must not send the key to another machine. ``upstream_url`` is any server where ``base_url`` is None, and gets the
      key. ``login`` lets the provider ``subscription`` use the CLI's own login.
    * ``system_prompt`` is a text, or ``preset:claude_code`` and further lines to append; None means the plugin's own.
      ``claude_md`` adds the CLAUDE.md of the working directory and of the workspace to it.
    * ``native_tools`` are tools of the CLI's own that the model may use beside the kernel's. What they do is recorded,
      but can be replayed only where the kernel has a tool of that name. Those for files and commands are let through
      as ``permission_mode`` says.
    * ``skills`` are folders with a SKILL.md, ``claude_plugins`` folders of Claude Code plugins (their hooks run as
      programs), ``mcp_servers`` further servers of tools.
    * ``max_retries`` is how often the CLI asks again where the model's server fails. ``cli_path`` is a Claude Code CLI
      in place of the one that comes with the SDK. ``cli_silence_s`` is how many seconds the CLI may do nothing at all,
      while nothing of ours is under way, before it is ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["auto", "sdk", "cortex"] = "auto"
    model: Annotated[str, Field(min_length=1)] = "sonnet"
    max_turns: Annotated[int, Field(ge=1)] = 50
    max_tokens: Annotated[int, Field(ge=1)] = 16_384
    base_url: Annotated[str, Field(pattern=LOCAL_URL)] | None = Field(default=None, json_schema_extra=OWN)
    upstream_url: str | None = Field(default=None, pattern=BASE_URL, json_schema_extra=OWN)
    login: bool = Field(default=False, json_schema_extra=OWN)
    system_prompt: str | None = None
    max_retries: Annotated[int, Field(ge=0, le=10)] = 4
    cli_path: str | None = Field(default=None, min_length=1, json_schema_extra=OWN)
    cli_silence_s: Annotated[float, Field(gt=0)] = 120.0
    claude_md: bool = Field(default=False, json_schema_extra=OWN)
    fallback_model: Annotated[str, Field(min_length=1)] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    thinking: Literal["adaptive", "disabled"] | Annotated[int, Field(ge=1024)] | None = None
    permission_mode: Mode | None = Field(default=None, json_schema_extra=OWN)
    native_tools: tuple[NativeTool, ...] = Field(default=(), json_schema_extra=OWN)
    skills: tuple[Folder, ...] = Field(default=(), json_schema_extra=OWN)
    claude_plugins: tuple[Folder, ...] = Field(default=(), json_schema_extra=OWN)
    mcp_servers: dict[ServerName, McpServer] = Field(default_factory=dict, json_schema_extra=OWN)

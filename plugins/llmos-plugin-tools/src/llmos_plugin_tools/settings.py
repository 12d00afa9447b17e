"""The plugin's settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmos_core import OWN

MAX_TIMEOUT_MS = 600_000
"""The longest that any command may run, in milliseconds."""


Bound = Annotated[int, Field(ge=1)]


class SandboxSettings(BaseModel):
    """How commands are confined, read from ``[plugins.tools.sandbox]`` of the user's own file.

    ``kind`` ``auto`` takes the first that works here; ``none`` confines nothing, and is not asked about. ``network``
    says whether commands reach it. ``read`` and ``write`` are further places (``~`` is the user's home). All
    processes of a command together have ``memory_mb`` of memory and ``processes``; each may write files of
    ``file_mb`` and have ``open_files``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "landlock", "bubblewrap", "none"] = Field(default="auto", json_schema_extra=OWN)
    network: bool = Field(default=True, json_schema_extra=OWN)
    read: tuple[str, ...] = Field(default=(), json_schema_extra=OWN)
    write: tuple[str, ...] = Field(default=(), json_schema_extra=OWN)
    memory_mb: Bound = Field(default=4096, json_schema_extra=OWN)
    processes: Bound = Field(default=512, json_schema_extra=OWN)
    file_mb: Bound = Field(default=4096, json_schema_extra=OWN)
    open_files: Annotated[int, Field(ge=16)] = Field(default=1024, json_schema_extra=OWN)

    def limits(self) -> dict[str, int]:
        """What a command may use up, by name."""
        return self.model_dump(include={"memory_mb", "processes", "file_mb", "open_files"})


class ToolsSettings(BaseModel):
    """Settings of the tools, read from ``[plugins.tools]``.

    ``bash_timeout_ms`` holds for commands that name no timeout of their own. ``max_output_chars`` bounds the output of
    Bash and Grep that a model sees.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bash_timeout_ms: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_MS)] = 120_000
    max_output_chars: Annotated[int, Field(ge=1_000, le=150_000)] = 30_000
    sandbox: SandboxSettings = SandboxSettings()

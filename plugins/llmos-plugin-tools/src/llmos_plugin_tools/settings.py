"""The plugin's settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from llmos_core import OWN

MAX_TIMEOUT_MS = 600_000
"""The longest that any command may run, in milliseconds."""


Bound = Annotated[int, Field(ge=1)]


def _place(given: str) -> str:
    if "\0" in given or not Path(os.path.expanduser(given)).is_absolute():  # noqa: PTH111 - an unknown ~user stays
        raise ValueError("a place is an absolute path, or begins with ~/")
    return given


Place = Annotated[str, AfterValidator(_place)]


class SandboxSettings(BaseModel):
    """How commands are confined, read from ``[plugins.tools.sandbox]`` of the user's own file.

    ``kind`` ``auto`` takes the first that works here; ``none`` confines nothing, and is not asked about. ``network``
    says whether commands reach it; nothing but a sandbox can keep them off it, so that ``none`` cannot be had without.
    ``read`` and ``write`` are further places: absolute, or from the user's home (``~``). All
    processes of a command together have ``memory_mb`` of memory and ``processes``; each may write files of
    ``file_mb`` and have ``open_files``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "landlock", "bubblewrap", "none"] = Field(default="auto", json_schema_extra=OWN)
    network: bool = Field(default=True, json_schema_extra=OWN)
    read: tuple[Place, ...] = Field(default=(), json_schema_extra=OWN)
    write: tuple[Place, ...] = Field(default=(), json_schema_extra=OWN)
    memory_mb: Bound = Field(default=4096, json_schema_extra=OWN)
    processes: Bound = Field(default=512, json_schema_extra=OWN)
    file_mb: Bound = Field(default=4096, json_schema_extra=OWN)
    open_files: Annotated[int, Field(ge=16)] = Field(default=1024, json_schema_extra=OWN)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.kind == "none" and not self.network:
            raise ValueError('only a sandbox keeps commands off the network: take out kind = "none" or network = false')
        return self

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

"""The plugin's settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_TIMEOUT_MS = 600_000
"""The longest that any command may run, in milliseconds."""


class ToolsSettings(BaseModel):
    """Settings of the tools, read from ``[plugins.tools]``.

    ``bash_timeout_ms`` holds for commands that name no timeout of their own. ``max_output_chars`` bounds the output of
    Bash and Grep that a model sees.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bash_timeout_ms: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_MS)] = 120_000
    max_output_chars: Annotated[int, Field(ge=1_000, le=150_000)] = 30_000

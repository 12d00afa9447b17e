"""The settings of this plugin: the table ``[plugins.claude]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

BASE_URL = r"^https?://[^/\s?#]+[^\s?#]*$"
"""The form of an address that speaks the Messages API."""

LOCAL_URL = r"^http://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(/[^\s?#]*)?$"
"""The form of an address on this machine."""


class ClaudeSettings(BaseModel):
    """How the Learner asks its model.

    ``model`` is an alias (``sonnet``, ``opus``, ``haiku``) or a full model id; a task's own model goes before it, and
    likewise for ``max_turns``. ``base_url`` is a server on this machine where the provider ``anthropic`` sends its
    requests; None means the variable ``ANTHROPIC_BASE_URL``, else the public API. A settings file may come with a
    folder from anywhere: it must not send the key to another machine. ``system_prompt`` None means the plugin's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(min_length=1)] = "sonnet"
    max_turns: Annotated[int, Field(ge=1)] = 50
    base_url: Annotated[str, Field(pattern=LOCAL_URL)] | None = None
    system_prompt: str | None = None

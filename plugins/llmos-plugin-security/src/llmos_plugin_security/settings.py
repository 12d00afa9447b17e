"""The plugin's settings."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmos_core import OWN


class UserRule(BaseModel):
    """A rule of your own: what to do with a command, and if ``args`` is given, only where one argument fits it.

    ``command`` and ``args`` are regular expressions for the whole name and the whole argument, ``options`` are
    options of which one must be given, ``words`` patterns of the first arguments that are no options.

    An ``allow`` holds for a command that stands alone, without pipes, variables and the like. It lowers a question, but
    not one about secrets, control files, or what cannot be judged; with ``even_denied`` it lowers anything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    verdict: Literal["allow", "ask", "deny"]
    command: str
    args: str = ""
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    why: str = ""
    even_denied: bool = False

    @field_validator("command", "args")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        return value

    @field_validator("words")
    @classmethod
    def _are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            cls._is_pattern(one)
        return value


class SecuritySettings(BaseModel):
    """Settings of the guard, read from ``[plugins.security]`` of the user's own file.

    ``write`` are further places that commands may write, but for secrets and control files in them (``~`` is the user's
    home); for the sandbox, name them in ``[plugins.tools.sandbox]`` ``write`` too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[UserRule, ...] = Field(default=(), json_schema_extra=OWN)
    write: tuple[str, ...] = Field(default=(), json_schema_extra=OWN)

    @field_validator("write")
    @classmethod
    def _are_places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place in value:
            if not place.startswith(("/", "~/")):
                raise ValueError(f"{place!r} is no place: begin it with / or ~/")
        return value

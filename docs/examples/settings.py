"""A tool with settings: a language, and the program that speaks.

With this in ``llmos.toml`` the tool greets in Finnish, if the plugin's name is ``greeter``::

    [plugins.greeter]
    language = "fi"

``speaker`` is marked ``OWN``: it names a program, so it may stand in the user's own settings only, never in an
``llmos.toml`` that came with a folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from llmos_core import OWN, Effect, Run, SettingsOf, Tool, ToolResult, hookimpl

WORDS = {"en": "Hello", "fi": "Hei", "de": "Hallo"}


class GreeterSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Literal["en", "fi", "de"] = "en"
    speaker: str | None = Field(default=None, json_schema_extra=OWN)


class GreetInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    who: str


class Greet:
    name = "Greet"
    description = "Greet somebody by name."
    input_model: type[BaseModel] = GreetInput

    def __init__(self, settings: GreeterSettings) -> None:
        self._word = WORDS[settings.language]

    def effect(self, input: GreetInput) -> Effect:
        return "pure"

    async def run(self, input: GreetInput, run: Run) -> ToolResult:
        return ToolResult(output=f"{self._word}, {input.who}!")


@hookimpl
def llmos_settings() -> type[BaseModel]:
    return GreeterSettings


@hookimpl
def llmos_tools(settings: SettingsOf) -> Iterable[Tool]:
    return [Greet(settings(GreeterSettings))]

"""What the tools share: strict inputs, and failures that come back as text for the model."""

from __future__ import annotations

import abc
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator

from llmos_core import Effect, Run, ToolResult


class Refused(Exception):
    """A call that cannot be done; its text is what the model sees."""


class Input(BaseModel):
    """Base of the inputs of tools: unknown keys and text that cannot be written as UTF-8 are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*")
    @classmethod
    def _encodable(cls, value: object) -> object:
        if isinstance(value, str):
            value.encode()  # raises a ValueError for lone surrogates
        return value


I = TypeVar("I", bound=Input)  # noqa: E741 - the input


class KernelTool(abc.ABC, Generic[I]):
    """Base of the kernel's tools. Refusals and errors of the operating system become results with ``is_error``."""

    name: str
    description: str
    input_model: type[BaseModel]
    effect_class: Effect

    def effect(self, input: I) -> Effect:
        return self.effect_class

    async def run(self, input: I, run: Run) -> ToolResult:
        try:
            return await self.act(input, run)
        except Refused as refusal:
            return ToolResult(output=str(refusal), is_error=True)
        except OSError as error:
            return ToolResult(output=f"{self.name} failed: {error.strerror or error}", is_error=True)

    @abc.abstractmethod
    async def act(self, input: I, run: Run) -> ToolResult:
        """Do the call. Raises Refused or OSError for what the model should see as a failure."""

"""A tool for the tests of the test kit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from llmos_core import Effect, Run, ToolResult


class EchoInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str


class Echo:
    """Gives its text back, and remembers it."""

    name = "Echo"
    description = "Gives the text back."
    input_model = EchoInput

    def __init__(self) -> None:
        self.ran: list[str] = []

    def effect(self, input: EchoInput) -> Effect:
        return "pure"

    async def run(self, input: EchoInput, run: Run) -> ToolResult:
        self.ran.append(input.text)
        return ToolResult(output=input.text)

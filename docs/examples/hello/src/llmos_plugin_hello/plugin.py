"""A tool that greets, and a guard that knows whom not to greet."""

from llmos_core import Effect, Run, Tool, ToolCall, ToolResult, Verdict, hookimpl
from pydantic import BaseModel


class GreetInput(BaseModel, extra="forbid"):
    who: str


class Greet:
    name = "Greet"
    description = "Greet somebody by name."
    input_model: type[BaseModel] = GreetInput

    def effect(self, input: GreetInput) -> Effect:
        return "pure"

    async def run(self, input: GreetInput, run: Run) -> ToolResult:
        return ToolResult(output=f"Hello, {input.who}!")


@hookimpl
def llmos_tools() -> list[Tool]:
    return [Greet()]


@hookimpl
async def llmos_pre_tool_use(call: ToolCall) -> Verdict | None:
    if call.tool == "Greet" and call.input["who"] == "nobody":
        return Verdict.deny("There is nobody to greet.", rule="hello.nobody")
    return None

"""A tool that counts the words of a text file.

What it gives is a ``ToolResult``: a failure that the model should see has ``is_error`` set, and nothing is raised. The
description and the fields of the input are what the model reads, so they say all it must know.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio
from pydantic import BaseModel, ConfigDict, Field

from llmos_core import Effect, Run, Tool, ToolResult, hookimpl


class CountWordsInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: str = Field(min_length=1, description="The file, relative to the working directory.")


class CountWords:
    name = "CountWords"
    description = "Count the words of a text file in the working directory."
    input_model: type[BaseModel] = CountWordsInput

    def effect(self, input: CountWordsInput) -> Effect:
        return "pure"  # it reads only

    async def run(self, input: CountWordsInput, run: Run) -> ToolResult:
        try:
            path = await anyio.Path(run.workdir / input.file).resolve()
            if not path.is_relative_to(run.workdir.resolve()):
                raise ValueError("it is outside the working directory")
            words = len((await path.read_text("utf-8")).split())
        except (OSError, ValueError) as error:
            return ToolResult(output=f"{input.file} cannot be read: {error}", is_error=True)
        return ToolResult(output=f"{words} words", data={"words": words})


@hookimpl
def llmos_tools() -> Iterable[Tool]:
    return [CountWords()]

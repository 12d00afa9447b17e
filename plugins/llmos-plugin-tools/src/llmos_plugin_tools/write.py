"""Write: a file's whole content."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from pydantic import BaseModel, Field

from llmos_core import Run, ToolResult
from llmos_plugin_tools.base import Input, KernelTool
from llmos_plugin_tools.files import entry
from llmos_plugin_tools.paths import Paths


class WriteInput(Input):
    file_path: Annotated[str, Field(description="The file to write; relative paths start at the working directory")]
    content: Annotated[str, Field(description="The whole new content of the file")]


class Write(KernelTool[WriteInput]):
    name = "Write"
    description = (
        "Writes a file as UTF-8, in the working directory only. Missing directories are made; an existing file is "
        "replaced and keeps its mode bits. To change a part of a file use Edit."
    )
    input_model: type[BaseModel] = WriteInput
    effect_class = "workspace"

    async def act(self, input: WriteInput, run: Run) -> ToolResult:
        return await to_thread.run_sync(_write, input, run)


def _write(input: WriteInput, run: Run) -> ToolResult:
    given = input.file_path
    data = input.content.encode()
    with entry(Paths.of(run).writable(given), make=True) as file:
        old = file.status()
        file.replace(data, old)
    # The same words whether or not the file was there: a replay in the same place must see what the learner saw.
    return ToolResult(
        output=f"File written successfully: {given}",
        data={"file_path": given, "created": old is None, "bytes": len(data)},
    )

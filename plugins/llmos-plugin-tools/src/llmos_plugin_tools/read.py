"""Read: a file's lines, numbered."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from pydantic import BaseModel, Field

from llmos_core import Run, ToolResult
from llmos_plugin_tools.base import Input, KernelTool, Refused
from llmos_plugin_tools.files import decode, entry
from llmos_plugin_tools.paths import Paths

MAX_READ_BYTES = 256 * 1024
"""The largest text that one call shows."""

EMPTY = "<system-reminder>Warning: the file exists but the contents are empty.</system-reminder>"
SHORT = (
    "<system-reminder>Warning: the file exists but is shorter than the provided offset ({offset}). "
    "The file has {lines} lines.</system-reminder>"
)
LOSSY = "\n\n[This file is not valid text in its encoding; undecodable bytes show as U+FFFD. Edit will refuse it.]"


class ReadInput(Input):
    file_path: Annotated[str, Field(description="The file to read; relative paths start at the working directory")]
    offset: Annotated[int | None, Field(ge=0, description="The line to start at, counted from 1")] = None
    limit: Annotated[int | None, Field(gt=0, description="How many lines to read; all by default")] = None


class Read(KernelTool[ReadInput]):
    name = "Read"
    description = (
        "Reads a text file. Each line comes as its number, a tab, and its text. Text over 256 KB is refused: "
        "read it in parts with offset and limit. Directories, images and other binary files cannot be read."
    )
    input_model: type[BaseModel] = ReadInput
    effect_class = "pure"

    async def act(self, input: ReadInput, run: Run) -> ToolResult:
        return await to_thread.run_sync(_read, input, run)


def _read(input: ReadInput, run: Run) -> ToolResult:
    given = input.file_path
    with entry(Paths.of(run).readable(given)) as file:
        data, _ = file.load()
    text = decode(data)
    if text is None:
        raise Refused(f"Cannot read {given}: it is a binary file. Use a command that knows its format.")
    if not text.content:
        return ToolResult(output=EMPTY, data={"file_path": given, "lines": 0})
    lines = text.content.replace("\r\n", "\n").split("\n")
    first = max(input.offset or 1, 1)
    if first > len(lines):
        return ToolResult(output=SHORT.format(offset=first, lines=len(lines)), data={"file_path": given, "lines": 0})
    chosen = lines[first - 1 :][: input.limit]
    _check_size("\n".join(chosen))
    output = "\n".join(f"{number}\t{line}" for number, line in enumerate(chosen, first))
    return ToolResult(
        output=output + (LOSSY if text.lossy else ""),
        data={"file_path": given, "start_line": first, "lines": len(chosen), "total_lines": len(lines)},
    )


def _check_size(selection: str) -> None:
    size = len(selection.encode("utf-8", "replace"))
    if size > MAX_READ_BYTES:
        raise Refused(
            f"File content ({size / 1024:.1f}KB) exceeds maximum allowed size (256KB). Use offset and limit "
            "parameters to read specific portions of the file, or search for specific content with Grep."
        )

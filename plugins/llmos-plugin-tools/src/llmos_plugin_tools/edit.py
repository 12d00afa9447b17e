"""Edit: one literal text of a file replaced by another."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from pydantic import BaseModel, Field

from llmos_core import Run, ToolResult
from llmos_plugin_tools.base import Input, KernelTool, Refused
from llmos_plugin_tools.files import Entry, decode, entry
from llmos_plugin_tools.paths import Paths
from llmos_plugin_tools.replacement import replace

AMBIGUOUS = (
    "Found {count} matches of the string to replace, but replace_all is false. To replace all occurrences, set "
    "replace_all to true. To replace only one occurrence, please provide more context to uniquely identify the "
    "instance.\nString: {old}"
)


class EditInput(Input):
    file_path: Annotated[str, Field(description="The file to change; relative paths start at the working directory")]
    old_string: Annotated[str, Field(description="The exact text to replace; empty to create a new file")]
    new_string: Annotated[str, Field(description="The text to put in its place; must differ from old_string")]
    replace_all: Annotated[bool, Field(description="Replace every occurrence instead of the only one")] = False


class Edit(KernelTool[EditInput]):
    name = "Edit"
    description = (
        "Replaces text in a file of the working directory. old_string is literal and must occur exactly once, unless "
        "replace_all is true. Encoding, line ends and mode bits of the file are kept."
    )
    input_model: type[BaseModel] = EditInput
    effect_class = "workspace"

    async def act(self, input: EditInput, run: Run) -> ToolResult:
        return await to_thread.run_sync(_edit, input, run)


def _edit(input: EditInput, run: Run) -> ToolResult:
    given = input.file_path
    if input.old_string == input.new_string:
        raise Refused("No changes to make: old_string and new_string are exactly the same.")
    creates = not input.old_string
    with entry(Paths.of(run).writable(given), make=creates) as file:
        count = _fill(file, input) if creates else _change(file, input)
    updated = "has been updated. All occurrences were successfully replaced."
    output = f"The file {given} {updated if input.replace_all else 'has been updated successfully.'}"
    return ToolResult(output=output, data={"file_path": given, "replacements": count})


def _fill(file: Entry, input: EditInput) -> int:
    old = file.status()
    if old is not None and old.st_size:
        raise Refused("Cannot create new file - file already exists.")
    file.replace(input.new_string.encode(), old, unchanged=True)
    return 1


def _change(file: Entry, input: EditInput) -> int:
    data, old = file.load()
    changed, count = _changed(data, input)
    file.replace(changed, old, unchanged=True)
    return count


def _changed(data: bytes, input: EditInput) -> tuple[bytes, int]:
    text = decode(data)
    if text is None or text.lossy:
        kind = "holds NUL bytes, so it is binary" if text is None else "is not valid UTF-8"
        raise Refused(f"The file {kind}; nothing was written. Change it with a command that keeps its encoding.")
    result = replace(text.content, input.old_string, input.new_string)
    if result.count == 0:
        raise Refused(f"String to replace not found in file.\nString: {input.old_string}")
    if result.count > 1 and not input.replace_all:
        raise Refused(AMBIGUOUS.format(count=result.count, old=input.old_string))
    return text.encode(result.content), result.count

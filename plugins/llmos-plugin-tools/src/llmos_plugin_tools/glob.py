"""Glob: files by the shape of their path."""

from __future__ import annotations

import os
import stat
from typing import Annotated

from anyio import to_thread
from pydantic import BaseModel, Field

from llmos_core import Run, ToolResult
from llmos_plugin_tools.base import Input, KernelTool, Refused
from llmos_plugin_tools.files import kind
from llmos_plugin_tools.globs import GlobPattern, split_base
from llmos_plugin_tools.paths import Paths
from llmos_plugin_tools.walk import Walk, unreadable_note

MAX_FILES = 100
"""How many paths one call shows."""


class GlobInput(Input):
    pattern: Annotated[str, Field(min_length=1, description="The glob pattern, such as **/*.py or src/*.{ts,tsx}")]
    path: Annotated[str | None, Field(description="The directory to search; the working directory by default")] = None


class Glob(KernelTool[GlobInput]):
    """Paths are sorted as text, not by time: a replay in a copy of the directory must see the same order."""

    name = "Glob"
    description = (
        "Finds files by a glob pattern. A pattern without a slash matches names at any depth. Gives paths relative to "
        "the working directory, sorted by path; hidden files are included, .git directories and links are not."
    )
    input_model: type[BaseModel] = GlobInput
    effect_class = "pure"

    async def act(self, input: GlobInput, run: Run) -> ToolResult:
        return await to_thread.run_sync(_glob, input, run)


def _glob(input: GlobInput, run: Run) -> ToolResult:
    paths = Paths.of(run)
    root = input.path or "."
    there = kind(paths.readable(root))
    if not stat.S_ISDIR(there):
        missing = not there or stat.S_ISLNK(there)  # a link that is left when all are resolved leads nowhere
        raise Refused(f"{'Directory does not exist' if missing else 'Path is not a directory'}: {root}")
    base, rest = split_base(input.pattern)
    start = paths.readable(os.path.join(root, base))  # noqa: PTH118 - readable() takes the text of a path
    pattern = GlobPattern(rest, anchored=bool(base))
    walk = Walk(start)
    found = sorted(paths.show(start.path / path) for path in walk if pattern.matches(path))
    shown = found[:MAX_FILES]
    output = "\n".join(shown) if shown else "No files found"
    if len(found) > MAX_FILES:
        output += f"\n(Showing {MAX_FILES} of {len(found)} matching files. Narrow the pattern or path to see the rest.)"
    return ToolResult(
        output=output + unreadable_note(walk.unreadable),
        data={"files": len(found), "truncated": len(found) > MAX_FILES},
    )

"""Grep: lines or files by a regular expression."""

from __future__ import annotations

import json
import math
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from anyio import to_thread
from pydantic import BaseModel, Field

from llmos_core import Run, ToolResult
from llmos_plugin_tools.base import Input, KernelTool, Refused
from llmos_plugin_tools.environment import command_environment
from llmos_plugin_tools.files import kind
from llmos_plugin_tools.filetypes import FILE_TYPES
from llmos_plugin_tools.globs import GlobPattern
from llmos_plugin_tools.paths import Paths
from llmos_plugin_tools.process import run_process
from llmos_plugin_tools.settings import ToolsSettings
from llmos_plugin_tools.walk import Walk, unreadable_note

WORKER = Path(__file__).with_name("grep_worker.py")
TIMEOUT_S = 20.0

Mode = Literal["content", "files_with_matches", "count"]
Count = Annotated[int, Field(ge=0)]


class GrepInput(Input):
    pattern: Annotated[str, Field(description="The regular expression, in Python's syntax")]
    path: Annotated[str | None, Field(description="File or directory to search; the working directory by default")] = (
        None
    )
    glob: Annotated[str | None, Field(description="Only files that match this glob, such as *.{ts,tsx}")] = None
    type: Annotated[str | None, Field(description="Only files of this type: " + ", ".join(FILE_TYPES))] = None
    output_mode: Annotated[
        Mode, Field(description="content: matching lines; files_with_matches: paths; count: matching lines per file")
    ] = "files_with_matches"
    before: Annotated[Count | None, Field(alias="-B", description="Lines to show before each match")] = None
    after: Annotated[Count | None, Field(alias="-A", description="Lines to show after each match")] = None
    around: Annotated[Count | None, Field(alias="-C", description="The same as context")] = None
    context: Annotated[Count | None, Field(description="Lines to show before and after each match")] = None
    line_numbers: Annotated[bool, Field(alias="-n", description="Show line numbers")] = True
    ignore_case: Annotated[bool, Field(alias="-i", description="Ignore case")] = False
    only_matching: Annotated[bool, Field(alias="-o", description="Show only the parts that match")] = False
    head_limit: Annotated[Count, Field(description="Show at most so many lines or entries; 0 for all")] = 250
    offset: Annotated[Count, Field(description="Skip so many lines or entries first")] = 0
    multiline: Annotated[bool, Field(description="Matches may span lines, and . matches a newline")] = False


class Grep(KernelTool[GrepInput]):
    """Files are searched in the order of their paths as text, not by time: a replay must see the same order.

    Hidden and git-ignored files are searched. Binary files, files over 10 MB, ``.git`` directories and links are not.
    """

    name = "Grep"
    description = (
        "Searches file contents with a regular expression. Gives paths relative to the working directory, sorted by "
        "path. The options -A, -B, -C, -n, -i, -o mean what they mean in ripgrep. Hidden files are searched; binary "
        "files, files over 10 MB, .git directories and links are not."
    )
    input_model: type[BaseModel] = GrepInput
    effect_class = "pure"

    async def act(self, input: GrepInput, run: Run) -> ToolResult:
        limit = run.settings(ToolsSettings).max_output_chars
        scope = await to_thread.run_sync(_scope, input, run)
        try:
            answer = await _search(_request(input, scope, limit), limit, run.workdir, scope.directory)
        finally:
            os.close(scope.directory)
        return _report(input, answer, scope.unreadable)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What to search: pairs of the shown path and that below the open ``directory``, which the caller closes.

    ``single``: the call named this very file.
    """

    directory: int
    files: list[tuple[str, str]]
    single: bool = False
    unreadable: int = 0


def _scope(input: GrepInput, run: Run) -> _Scope:
    paths = Paths.of(run)
    if input.type is not None and input.type not in FILE_TYPES:
        raise Refused(f"Unrecognized file type: {input.type}. Known types: {', '.join(FILE_TYPES)}")
    given = input.path or "."
    start = paths.readable(given)
    there = kind(start)
    if stat.S_ISREG(there):
        return _Scope(start.open_parent(), [(paths.show(start.path), start.path.name)], single=True)
    if not stat.S_ISDIR(there):
        raise Refused(f"Path does not exist: {given}")
    filters = [input.glob, FILE_TYPES[input.type] if input.type else None]
    globs = [GlobPattern(text.removeprefix("/"), anchored=text.startswith("/")) for text in filters if text]
    walk = Walk(start)
    directory = start.open()
    try:
        found = [path for path in walk.below(directory) if all(pattern.matches(path) for pattern in globs)]
        files = sorted((paths.show(start.path / path), path) for path in found)
    except BaseException:
        os.close(directory)
        raise
    return _Scope(directory, files, unreadable=walk.unreadable)


def _request(input: GrepInput, scope: _Scope, max_chars: int) -> dict[str, Any]:
    around = input.context if input.context is not None else input.around or 0
    return {
        "pattern": input.pattern,
        "ignore_case": input.ignore_case,
        "multiline": input.multiline,
        "output_mode": input.output_mode,
        "only_matching": input.only_matching,
        "line_numbers": input.line_numbers,
        "with_names": not scope.single,
        "before": around if input.before is None else input.before,
        "after": around if input.after is None else input.after,
        "offset": input.offset,
        "head_limit": input.head_limit,
        "max_chars": max_chars,
        "cpu_s": math.ceil(TIMEOUT_S) + 1,
        "directory": scope.directory,
        "files": scope.files,
    }


async def _search(request: dict[str, Any], max_chars: int, cwd: Path, directory: int) -> dict[str, Any]:
    """The worker's answer. Raises Refused if the pattern is no regular expression or takes too long."""
    stdin = await to_thread.run_sync(_spooled, request)
    try:
        finished = await run_process(
            [sys.executable, "-I", "-S", "-W", "ignore", str(WORKER)],
            cwd=cwd,
            env=command_environment(),
            timeout_s=TIMEOUT_S,
            keep=8 * max_chars,
            stdin=stdin.fileno(),
            pass_fds=(directory,),
        )
    finally:
        stdin.close()
    if finished.timed_out:
        raise Refused(f"The search timed out after {TIMEOUT_S:g}s. Use a simpler pattern or a narrower path.")
    if finished.exit_code != 0:
        raise Refused(f"The search failed (exit code {finished.exit_code}). Use a simpler pattern or a narrower path.")
    answer: dict[str, Any] = json.loads(finished.output.head + finished.output.tail)
    if "error" in answer:
        raise Refused(f"Not a regular expression: {answer['error']}")
    return answer


def _spooled(request: dict[str, Any]) -> IO[bytes]:
    """The request in an unnamed temporary file, ready to be read."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(json.dumps(request).encode())
    file.seek(0)
    return file


def _report(input: GrepInput, answer: dict[str, Any], unreadable: int) -> ToolResult:
    entries: list[str] = answer["entries"]
    output = _FORMS[input.output_mode](entries, answer)
    if answer["more"] or input.offset:
        limit = f"limit: {input.head_limit}" if answer["more"] else ""
        offset = f"offset: {input.offset}" if input.offset else ""
        output += f"\n\n[Showing results with pagination = {', '.join(filter(None, (limit, offset)))}]"
    if answer["cut"]:
        output += "\n\n[Output cut here; narrow the search or use offset to see the rest.]"
    if answer["too_large"]:
        output += f"\n({answer['too_large']} files over 10 MB were not searched.)"
    return ToolResult(
        output=output + unreadable_note(unreadable + answer["unreadable"]),
        data={"entries": len(entries), "truncated": answer["more"] or answer["cut"]},
    )


def _found_files(entries: list[str], answer: dict[str, Any]) -> str:
    return "\n".join([f"Found {_plural(len(entries), 'file')}", *entries]) if entries else "No files found"


def _found_lines(entries: list[str], answer: dict[str, Any]) -> str:
    return "\n".join(entries) if entries else "No matches found"


def _found_counts(entries: list[str], answer: dict[str, Any]) -> str:
    totals = f"{_plural(answer['matches'], 'total occurrence')} across {_plural(answer['files'], 'file')}"
    return f"{_found_lines(entries, answer)}\n\nFound {totals}."


_FORMS = {"files_with_matches": _found_files, "content": _found_lines, "count": _found_counts}


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""Names, states and differences of texts as they are shown. Nothing of a file steers a terminal."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from llmos_core import FileState, Record
from llmos_core.commands import printable
from llmos_plugin_history.changes import Change

_MAX_BYTES = 256 << 10
_MAX_LINES = 6_000
_MAX_SHOWN = 1_000
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class TextDiff(Record):
    """How the text of a file differs, as a unified diff. ``unshown`` says why there is none, if there is none."""

    lines: tuple[str, ...] = ()
    unshown: str = ""

    @property
    def added(self) -> int:
        return sum(line.startswith("+") for line in self.lines[2:])

    @property
    def removed(self) -> int:
        return sum(line.startswith("-") for line in self.lines[2:])


def text_diff(change: Change, content: Callable[[str], Path]) -> TextDiff | None:
    """How the bytes of a file differ; None where no file's bytes do."""
    if change.kind in ("mode", "renamed"):
        return None
    sides = [state for state in (change.before, change.after) if state is not None and state.kind == "file"]
    if not any(state.size for state in sides):
        return None
    if any(state.size > _MAX_BYTES for state in sides):
        return TextDiff(unshown="too large to show")
    try:
        old, new = _lines(change.before, content), _lines(change.after, content)
    except FileNotFoundError:
        return TextDiff(unshown="its content is not kept any more")
    if old is None or new is None:
        return TextDiff(unshown="binary")
    if len(old) + len(new) > _MAX_LINES:
        return TextDiff(unshown="too many lines to show")
    source = f"a/{shown(change.path)}" if change.before else "/dev/null"
    target = f"b/{shown(change.path)}" if change.after else "/dev/null"
    return TextDiff(lines=tuple(difflib.unified_diff(old, new, source, target, lineterm="")))


def _lines(state: FileState | None, content: Callable[[str], Path]) -> list[str] | None:
    """The lines of a text, none where there is no file; None for what is no text."""
    if state is None or state.kind != "file":
        return []
    data = content(state.digest or "").read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += "\n\\ No newline at end of file"
    else:
        lines.pop()
    return lines


def coloured(lines: Sequence[str]) -> Iterator[str]:
    """The lines of a diff for a terminal, no more than a person reads."""
    for line in lines[:_MAX_SHOWN]:
        head = line.startswith(("---", "+++"))
        yield click.style(printable(line), fg=None if head else _COLOURS.get(line[:1]), bold=head or None)
    if len(lines) > _MAX_SHOWN:
        yield f"... and {len(lines) - _MAX_SHOWN:,} more lines"


def echo(text: str, *, err: bool = False) -> None:
    """Print; in colour on a terminal, unless ``NO_COLOR`` is set."""
    click.echo(text, err=err, color=False if os.environ.get("NO_COLOR") else None)


def shown(path: str) -> str:
    """A name on one line."""
    return printable(path).replace("\n", "\\n").replace("\t", "\\t")


def described(change: Change) -> str:
    """What a change is, beyond its kind: sizes, modes, targets."""
    before, after = change.before, change.after
    if before is None or after is None:
        return _what(before or after)
    if change.kind == "mode":
        return f"mode {before.mode:04o} -> {after.mode:04o}"
    if change.kind == "renamed":
        return "" if before.mode == after.mode else f"mode {before.mode:04o} -> {after.mode:04o}"
    told = f"{_what(before)} -> {_what(after)}"
    if before.kind == after.kind != "link" and before.mode != after.mode:
        told += f", mode {before.mode:04o} -> {after.mode:04o}"
    return told


def _what(state: FileState | None) -> str:
    if state is None:
        return ""
    if state.kind == "link":
        return f"link to {shown(state.target or '')}"
    if state.kind == "directory":
        return "directory"
    return "1 byte" if state.size == 1 else f"{state.size:,} bytes"

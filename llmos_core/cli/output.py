"""How things are shown: errors, tables, money, and texts of models and tools without their control characters."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from llmos_core.errors import LLMOSError

if TYPE_CHECKING:
    from llmos_core.records import Billing, ErrorInfo, ToolCall


def colours() -> bool:
    """Whether texts may be coloured where they go to a terminal."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")


def say(text: str) -> None:
    """A text for the user, on stderr. Where nobody reads that any more, neither this nor what follows is written."""
    try:
        click.echo(text, err=True, color=None if colours() else False)
    except OSError:
        # The reader or the terminal is gone: no reason to end a run, and nobody is left to be told.
        leave(sys.stderr)


def leave(stream: TextIO) -> None:
    """Write no more to the reader of a standard stream, who went away."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def print_error(error: LLMOSError | ErrorInfo) -> None:
    """What happened, why, and what to do: on stderr."""
    say(click.style("Error: ", fg="red", bold=True) + printable(error.what))
    for line in (error.why, error.fix):
        if line:
            say(printable(line))


def say_warning(error: LLMOSError) -> None:
    """An error that stops nothing, in one line on stderr."""
    say(f"Warning: {printable(' '.join(str(error).split()))}")


def print_json_error(error: LLMOSError) -> None:
    """The same for a program that asked for JSON: one object on stdout."""
    if not {"--json", "--jsonl"} & set(sys.argv):
        return
    told = {"what": error.what, "why": error.why, "fix": error.fix, "exit_code": int(error.exit_code)}
    click.echo(json.dumps({"success": False, "error": told}, ensure_ascii=False))


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def printable(text: str) -> str:
    """The text with control characters (which could steer a terminal) shown as ``\\xNN``; newlines and tabs stay."""
    return "".join(char if char in "\n\t" or unicodedata.category(char)[0] != "C" else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def call_text(call: ToolCall) -> str:
    """All that a call would do: the tool and each argument, whole, since nobody says yes to what was not shown."""
    lines = [one_line(call.tool, 200)]
    for name, value in call.input.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(printable(f"{name}: {text}").replace("\n", "\n    "))
    return "\n  ".join(lines)


def one_line(text: str, width: int) -> str:
    """The text on one line of at most ``width`` characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= width else line[: max(0, width - 3)] + "..."


def money(amount: float, billing: Billing) -> str:
    """A cost in US dollars; a rehearsal's is marked as a list price."""
    if amount == 0:
        return "$0"
    text = f"${amount:.4f}" if amount < 1 else f"${amount:.2f}"
    return f"{text} (list price)" if billing == "rehearsal" else text


def spent(amount: float, billing: Billing, cap: float | None = None) -> str:
    """What was spent of what may be: ``$0.0123 of $0.10 (list price)``."""
    if cap is None:
        return money(amount, billing)
    limit = f"${cap:.2f}" if round(cap, 2) == cap else f"${cap:.6f}".rstrip("0")
    text, mark, note = money(amount, billing).partition(" (")
    return f"{text} of {limit}{mark}{note}"


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Columns as wide as their contents; on a terminal, the last one is cut at its edge."""
    if not rows:
        click.echo(empty, err=True)
        return
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    room = widths[-1]
    if sys.stdout.isatty():
        room = max(20, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1))
    for row in (headers, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        click.echo("  ".join([*cells, one_line(row[-1], room)]).rstrip())

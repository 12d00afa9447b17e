"""The bottom of a terminal, drawn with rich. Importing this imports rich: about 0.1 s."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleDimensions, Group
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from llmos_core.cli.live import Block, Frame
from llmos_core.cli.output import leave
from llmos_core.cli.story import Line

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER = "-\\|/"
_TEXT_ROWS = 5
_FALLBACK = ConsoleDimensions(80, 24)


class Screen:
    """Lines that stay, and below them a region that is drawn anew. All texts are data: no markup is read in them."""

    def __init__(self, file: TextIO | None = None, size: tuple[int, int] | None = None) -> None:
        self.size = size
        self._console = Console(file=file, stderr=True, force_terminal=True, force_interactive=True)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, vertical_overflow="crop"
        )
        utf = (self._console.encoding or "").lower().startswith("utf")
        self._spinner = _SPINNER if utf else _ASCII_SPINNER
        self._rows: Sequence[Text] = ()
        self._columns = 0
        self._gone = False

    def paint(self, lines: Sequence[Line], frame: Frame) -> None:
        """Print the lines and draw the region anew, as the window is now."""
        columns, rows = self._window()
        spin = self._spinner[int(time.monotonic() * 10) % len(self._spinner)]
        self._draw(lines, lay_out(frame, columns - 1, rows - 1, spin))

    def close(self, lines: Sequence[Line] = ()) -> None:
        """Print the last lines and take the region away."""
        self._draw(lines, ())
        if not self._gone:
            self._live.stop()

    def _draw(self, lines: Sequence[Line], region: Sequence[Text]) -> None:
        if self._gone:
            return
        self._console.size = self._window()
        columns = self._console.size.width
        try:
            if not self._live.is_started:
                self._live.start()
                # A cursor that was never hidden needs nobody to bring it back, however the process ends.
                self._console.show_cursor(True)
            self._make_up_for_reflow(columns)
            self._rows, self._columns = region, columns
            with self._console:  # one write for both
                self._live.update(Group(*region), refresh=True)
                if lines:
                    self._console.print(*(Text(line.text, line.style) for line in lines), sep="\n")
        except OSError:
            # The terminal is gone: no reason to end the run, and nobody is left to be told.
            self._gone = True
            leave(sys.__stderr__ or sys.stderr)

    def _make_up_for_reflow(self, columns: int) -> None:
        """In a window that became narrower the region takes more rows than were drawn: take these back."""
        if columns >= self._columns:
            return
        extra = sum((max(1, row.cell_len) - 1) // columns for row in self._rows)
        up = (ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        self._console.control(Control(*up * extra))

    def _window(self) -> ConsoleDimensions:
        size = self.size
        if size is None:
            with suppress(OSError):  # it is gone; drawing will say so
                size = os.get_terminal_size(2)
        return ConsoleDimensions(*size) if size and all(size) else _FALLBACK


def lay_out(frame: Frame, width: int, height: int, spin: str) -> list[Text]:
    """The frame in rows of a window: the status always, then what runs, then texts, then the goal, as room allows."""
    width = max(width, 8)
    status = [Text(row, "bold") for row in _wrapped(frame.status, width)][: max(1, min(3, height - 1))]
    room = max(0, height - len(status))
    blocks = frame.blocks or (Block((("at work", ""),)),)
    doing = [row for block in blocks for row in _doing(block, width, spin)]
    if len(doing) > room:
        kept = max(0, room - 1)
        rest = [Text(_cut(f"... and {len(doing) - kept} more", width), "dim")] if room else []
        return [*doing[:kept], *rest, *status]
    goal = [Text(_cut(frame.goal, width), "bold")] if room > len(doing) + 2 and frame.goal else []
    spare = room - len(doing) - len(goal)
    rows: list[Text] = []
    writing = sum(bool(block.text) for block in blocks)
    for block in blocks:
        rows += _doing(block, width, spin)
        if block.text:
            rows += (said := _end_of(block, width, min(_TEXT_ROWS, spare // writing)))
            spare -= len(said)
            writing -= 1
    return [*goal, *rows, *status]


def _doing(block: Block, width: int, spin: str) -> Iterator[Text]:
    for what, took in block.doing:
        time_taken = f"  {took}" if took else ""
        yield Text(_cut(f"{' ' * block.indent}{spin} {what}", width - len(time_taken)) + time_taken, "cyan")


def _end_of(block: Block, width: int, share: int) -> list[Text]:
    indent = " " * (block.indent + 2)
    rows: list[str] = []
    for line in reversed(block.text.rstrip().split("\n")[-share:] if share else []):
        rows = [*_wrapped(line.expandtabs(4), width - len(indent)), *rows]
    return [Text(indent + row, "dim") for row in rows[-share:]] if share else []


def _wrapped(text: str, width: int) -> list[str]:
    """The text in rows, broken between words where that is possible."""
    rows = Text(text).wrap(_MEASURE, max(width, 2), overflow="fold")
    return [row.plain.rstrip() for row in rows]


def _cut(text: str, width: int) -> str:
    text = text.expandtabs(4)
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 3)).rstrip() + "..."[: max(0, width)]


_MEASURE = Console(file=None, width=80, stderr=True)

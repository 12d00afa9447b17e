"""Which processes a test has left behind."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def left_over(home: Path) -> list[str]:
    """The names of processes that run in this directory or know it from their environment; tmux and ``cat`` are no
    part of what is tested.
    """
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it ended, or is none of ours
            if process.name.isdigit() and _belongs(process, str(home)):
                found.append((process / "comm").read_text().strip())
    return [name for name in found if name not in ("tmux: server", "cat")]


def _belongs(process: Path, home: str) -> bool:
    return home.encode() in (process / "environ").read_bytes() or str((process / "cwd").readlink()).startswith(home)

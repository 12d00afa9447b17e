"""Names that change between a directory or file and a symbolic link to one outside, while tools use them.

10,000 races with openat2, and some hundreds without it; LLMOS_FAULT_ROUNDS, if set, asks for 10,000 there too. A call
counts as a race only if names changed while it ran.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmos_core import ToolResult
from llmos_plugin_tools import beneath

Call = Callable[..., Awaitable[ToolResult]]

LONG = "LLMOS_FAULT_ROUNDS" in os.environ
RACES = {"Read": 3400, "Write": 2600, "Edit": 2000, "Glob": 1800, "Grep": 200}
"""How many races each tool must survive: 10,000 in all."""

DEADLINE_S = 600.0
"""A test that saw too few races by then fails: the swapping process is not running."""

SWAPPER = """
import ctypes, mmap, os, struct, sys

counter = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 8)
pairs = [os.fsencode(name) for name in sys.argv[2:]]
libc = ctypes.CDLL(None, use_errno=True)
number, parent = 0, os.getppid()
while os.getppid() == parent:
    for name in pairs:
        if libc.renameat2(-100, name, -100, name + b".other", 2):  # RENAME_EXCHANGE: no moment without the name
            sys.exit(os.strerror(ctypes.get_errno()))
        number += 1
    counter[:] = struct.pack("=Q", number)
"""


@dataclass
class Arena:
    """A working directory in which names are swapped, and what lies outside of it."""

    work: Path
    outside: Path
    counter: Path
    marker: str

    def swaps(self) -> int:
        return int(struct.unpack("=Q", self.counter.read_bytes())[0])

    def touched(self) -> bool:
        """Whether anything outside was changed; if so, it is put back."""
        names = sorted(self.outside.iterdir())
        same = [path.name for path in names] == ["deep", "in.txt"] and all(
            path.read_text() == self.marker for path in (self.outside / "in.txt", self.outside / "deep" / "in.txt")
        )
        same = same and [path.name for path in (self.outside / "deep").iterdir()] == ["in.txt"]
        if not same:
            for path in [*names, *(self.outside / "deep").iterdir()]:
                if path.is_file():
                    path.unlink()
            self._fill()
        return not same

    def _fill(self) -> None:
        for directory in (self.outside, self.outside / "deep"):
            directory.mkdir(exist_ok=True)
            (directory / "in.txt").write_text(self.marker)


@dataclass
class Tally:
    """What the calls of one tool came to.

    ``through`` and ``refused`` tell that they met both states, ``caught`` that a name changed after it was judged
    (searches do not say so).
    """

    races: int = 0
    through: int = 0
    refused: int = 0
    caught: int = 0
    escapes: int = 0


@pytest.fixture
def arena(work: Path, tmp_path: Path) -> Iterator[Arena]:
    """``sub`` and ``a/mid`` swap between a directory and a link outside, ``leaf.txt`` between a file and a link."""
    arena = Arena(work, tmp_path / "outside", tmp_path / "counter", f"MARKER-{secrets.token_hex(8)}")
    arena._fill()
    arena.counter.write_bytes(bytes(8))
    for name, there in (("sub", arena.outside), ("a/mid", arena.outside / "deep")):
        (work / name).mkdir(parents=True)
        (work / name / "in.txt").write_text("inside")
        (work / f"{name}.other").symlink_to(there)
    (work / "leaf.txt").write_text("inside")
    (work / "leaf.txt.other").symlink_to(arena.outside / "in.txt")
    command = [sys.executable, "-c", SWAPPER, str(arena.counter), "sub", "a/mid", "leaf.txt"]
    with subprocess.Popen(command, cwd=work) as swapper:
        try:
            yield arena
            assert swapper.poll() is None
        finally:
            swapper.kill()


TARGETS = ("sub/in.txt", "a/mid/in.txt", "leaf.txt")


def calls(tool: str) -> list[dict[str, Any]]:
    """Inputs of a tool that meet the swapped names."""
    return {
        "Read": [{"file_path": path} for path in TARGETS],
        "Write": [{"file_path": path, "content": "inside"} for path in TARGETS],
        "Edit": [{"file_path": path, "old_string": "inside", "new_string": "inside."} for path in TARGETS]
        + [{"file_path": path, "old_string": "MARKER", "new_string": "changed"} for path in TARGETS],
        "Glob": [{"pattern": "*/in.txt"}, {"pattern": "*", "path": "sub"}, {"pattern": "a/mid/*"}],
        "Grep": [{"pattern": "i|MARKER", "output_mode": "content", "path": path} for path in (".", "sub", "leaf.txt")],
    }[tool]


async def race(arena: Arena, call: Call, tool: str, enough: Callable[[Tally], bool]) -> Tally:
    """Call the tool until that is enough, or something escaped."""
    tally = Tally()
    inputs = calls(tool)
    deadline = time.monotonic() + DEADLINE_S
    number = 0
    while not (tally.escapes or enough(tally)):
        assert time.monotonic() < deadline, tally
        input = inputs[number % len(inputs)]
        number += 1
        before = arena.swaps()
        result = await call(tool, **input)
        tally.races += arena.swaps() != before
        tally.refused += result.output.startswith("Not allowed to ")
        tally.caught += "symbolic links" in result.output
        tally.through += "in" in result.output and not result.is_error
        leaked = arena.marker in result.output or "deep" in result.output
        tally.escapes += arena.touched() or leaked
    return tally


@pytest.mark.parametrize("way", ["kernel", "walk"])
@pytest.mark.parametrize("tool", RACES)
async def test_no_tool_leaves_through_a_name_that_changes(arena, call, monkeypatch, tool, way) -> None:
    if way == "walk":
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    least = RACES[tool] if LONG or way == "kernel" else RACES[tool] // 40

    def enough(tally: Tally) -> bool:
        met = tally.through > 0 and tally.refused > 0 and (tally.caught > 0 or tool in ("Glob", "Grep"))
        return met and tally.races >= least

    tally = await race(arena, call, tool, enough)
    assert tally.escapes == 0, tally


class ByName:
    """The tools as they would be if paths were resolved, judged, and then opened by name."""

    def __init__(self, work: Path) -> None:
        self.work = work

    async def call(self, tool: str, **input: Any) -> ToolResult:
        try:
            return ToolResult(output=getattr(self, tool.lower())(**input))
        except OSError as error:
            return ToolResult(output=str(error.strerror), is_error=True)

    def judged(self, path: str) -> str:
        real = os.path.realpath(self.work / path)
        if not real.startswith(str(self.work)):
            raise PermissionError(13, "Not allowed")
        return real

    def read(self, file_path: str) -> str:
        return Path(self.judged(file_path)).read_text()

    def write(self, file_path: str, content: str) -> str:
        path = Path(self.judged(file_path))
        temporary = path.with_name(f".new-{secrets.token_hex(4)}")
        try:
            temporary.write_text(content)
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return "written"

    def edit(self, file_path: str, old_string: str, new_string: str) -> str:
        path = Path(self.judged(file_path))
        return self.write(file_path, path.read_text().replace(old_string, new_string))

    def glob(self, pattern: str, path: str = ".") -> str:
        return "\n".join(self.files(path if pattern == "*" else "."))

    def grep(self, pattern: str, output_mode: str, path: str) -> str:
        found = self.files(path)
        return "\n".join(f"{name}: {Path(name).read_text()}" for name in found)

    def files(self, path: str) -> list[str]:
        start = self.judged(path)
        if Path(start).is_file():
            return [start]
        found = []
        pending = [start]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found.append(os.path.realpath(entry.path).replace(str(self.work), ""))
        return [name if name.startswith(str(self.work.parents[3])) else f"{self.work}{name}" for name in found]


@pytest.mark.parametrize("tool", RACES)
async def test_the_same_races_are_lost_by_paths_opened_by_name(arena, work, tool) -> None:
    tally = await race(arena, ByName(work.resolve()).call, tool, lambda tally: False)
    assert tally.escapes > 0

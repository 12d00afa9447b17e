"""Distributions made up for tests: a dist-info and a module each, put into a directory as an installer would.

Whoever has that directory on ``PYTHONPATH`` has them installed. Every module leaves a mark when it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MARKS = "IMPORT_MARKS"
"""The environment variable that names the directory where imported modules leave their marks."""

MARK = f"import os, pathlib; pathlib.Path(os.environ[{MARKS!r}], __name__).touch()\n"
RANGE = "llmos-core>=0.1,<0.2"

TOOL = """
from pydantic import BaseModel
from llmos_core import ToolResult, hookimpl

class Input(BaseModel):
    text: str

class Tool:
    def __init__(self, name):
        self.name = name
    description = "Gives the text back."
    input_model = Input
    def effect(self, input):
        return "pure"
    async def run(self, input, run):
        return ToolResult(output=input.text)
"""

PLAIN = """
from llmos_core import hookimpl

@hookimpl
def llmos_tools():
    return []
"""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A distribution, and how the host must list its plugin.

    Args:
        name: the plugin's entry-point name, from which the names of distribution and module are made.
        source: its module; None for a module that is not there.
        state: the state it must be listed in; None if it is no plugin and must not be listed.
        stage: the stage at which it fails; "" where it does not.
        error: a part of the error that must be told.
        entry: another entry-point name.
        value: what the entry point names, if not the module.
        requires: what the distribution requires.
        metadata: the bytes of its METADATA; None for none at all, a directory for ``b"/"``.
        points: the bytes of its entry_points.txt, likewise.

    """

    name: str
    source: str | bytes | None
    state: str | None
    stage: str = ""
    error: str = ""
    entry: str = ""
    value: str = ""
    requires: tuple[str, ...] = (RANGE,)
    metadata: bytes | None = b"made"
    points: bytes | None = b"made"

    @property
    def distribution(self) -> str:
        return f"llmos-plugin-{self.name}"

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def plugin(self) -> str:
        return self.entry or self.name

    @property
    def id(self) -> str:
        return f"{self.distribution}/{self.plugin}"

    def install(self, site: Path, group: str = "llmos.plugins") -> None:
        """Put it into a directory."""
        if self.source is not None:
            source = self.source if isinstance(self.source, bytes) else (MARK + self.source).encode()
            (site / f"{self.module}.py").write_bytes(source)
        info = site / f"{self.distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {self.distribution}\nVersion: 1.0\nSummary: Made up.\n"
        required = "".join(f"Requires-Dist: {requirement}\n" for requirement in self.requires)
        _put(info / "METADATA", (head + required).encode() if self.metadata == b"made" else self.metadata)
        points = f"[{group}]\n{self.plugin} = {self.value or self.module}\n".encode()
        _put(info / "entry_points.txt", points if self.points == b"made" else self.points)


def _put(path: Path, content: bytes | None) -> None:
    if content == b"/":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)


def install_all(distributions: Iterable[Synthetic], site: Path, group: str = "llmos.plugins") -> None:
    site.mkdir(parents=True, exist_ok=True)
    for distribution in distributions:
        distribution.install(site, group)


def trivial(count: int, source: str = PLAIN, requires: tuple[str, ...] = (RANGE,)) -> list[Synthetic]:
    """Plugins that do nothing, to see what many of them cost."""
    return [Synthetic(f"trivial-{number:03}", source, "ok", requires=requires) for number in range(count)]


def marks(folder: Path) -> set[str]:
    """The modules that were imported since the directory of marks was made or cleared."""
    return {entry.name for entry in os.scandir(folder)}

"""The state of judging: what is known, what was found, how deep and how far it went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llmos_plugin_security.places import Place, World
from llmos_plugin_security.scope import Exhausted, Finding, Scope
from llmos_plugin_security.values import shown

if TYPE_CHECKING:
    from llmos_plugin_security.commands_judged import Commands

MAX_STEPS = 3_000
MAX_LEVELS = 24
MAX_TEXT = 12_000
MAX_SECONDS = 1.5
"""How long a judgement may take; the gate waits a few seconds for it."""


class ShellState:
    """What a shell knows and has found while it judges."""

    def __init__(self, world: World, commands: Commands) -> None:
        self.world = world
        self.commands = commands
        self.scope = Scope(directory=world.root)
        self.findings: list[Finding] = []
        self.trail: list[str] = []
        self.stdin = ""
        self._places: dict[tuple[str, str], Place] = {}
        self.stack: list[int] = []
        self._steps = 0
        self.until = time.monotonic() + MAX_SECONDS
        self._substitutions = 0

    # What is found.

    def find(self, rule: str, part: str, detail: str = "") -> None:
        """Note a reason against the command."""
        self.findings.append(Finding(rule, shown(part), tuple(self.trail), shown(detail)))

    def fits(self, text: str) -> bool:
        """Whether a text is short enough for patterns, of which some take the square of its length; if not, say so."""
        if len(text) <= MAX_TEXT:
            return True
        self.find("too-large", text, f"it has {len(text):,} characters; {MAX_TEXT:,} are judged")
        return False

    @contextmanager
    def within(self, what: str) -> Iterator[None]:
        """One level deeper. Raises Exhausted for too many."""
        if len(self.trail) >= MAX_LEVELS:
            raise Exhausted(f"commands within commands, {MAX_LEVELS} levels deep")
        self.trail.append(shown(what, 60))
        try:
            yield
        finally:
            self.trail.pop()

    def step(self) -> None:
        """Count what was looked at. Raises Exhausted for too much."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Exhausted(f"more than {MAX_STEPS:,} steps")
        if time.monotonic() > self.until:
            raise Exhausted(f"judging takes more than {MAX_SECONDS:g} seconds")

    # What words ask.

    @property
    def home(self) -> str:
        return self.scope.variables.get("HOME", self.world.home)

    @property
    def directory(self) -> str:
        return self.scope.directory

    def value(self, name: str) -> str | None:
        return self.scope.value(name, self.world.home)

    def values(self, name: str) -> list[str] | None:
        if name in {"@", "*"}:
            return self.scope.arguments
        return self.scope.arrays.get(name)

    @contextmanager
    def subshell(self) -> Iterator[None]:
        """What happens to variables and the directory stays within."""
        outer = self.scope
        self.scope = outer.copy()
        try:
            yield
        finally:
            self.scope = outer

    def at(self, path: str) -> Place:
        """The place of a path, seen from the current directory."""
        key = (path, self.scope.directory)
        if key not in self._places:
            self._places[key] = self.world.at(*key)
        return self._places[key]

    def written(self, path: str) -> str | None:
        """What the command itself has written to a file, or fetched with the directory it is in; None if it did not."""
        if path in self.scope.files:
            return self.scope.files[path]
        return next((text for at, text in self.scope.files.items() if at.endswith("/") and path.startswith(at)), None)

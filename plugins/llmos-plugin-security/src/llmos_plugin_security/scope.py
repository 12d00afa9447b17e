"""What a shell knows while it is judged: variables, functions, the current directory, files it has written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from llmos_plugin_security.values import NAME, OUTPUT, SECRET, TEMPORARY, UNKNOWN

if TYPE_CHECKING:
    from tree_sitter import Node


_SECRET_NAME = re.compile(
    r"(?:.*_)?(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)(?:_(?:ID|KEY|FILE))?"
)

_NAME = re.compile(r"\w[\w.-]*")


@dataclass
class Scope:
    """The state of one shell. A subshell has a copy."""

    directory: str
    variables: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    functions: dict[str, Node] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """What the command itself has written, by resolved path."""

    def copy(self) -> Scope:
        return replace(
            self,
            variables=dict(self.variables),
            arrays=dict(self.arrays),
            functions=dict(self.functions),
            aliases=dict(self.aliases),
            arguments=list(self.arguments),
        )

    def join(self, before: Scope, inside: str) -> None:
        """After what may or may not have happened: where both differ, nothing is known."""
        for name, value in before.variables.items():
            other = self.variables.get(name)
            if other != value:
                named = other is not None and _NAME.fullmatch(value) and _NAME.fullmatch(other)
                self.variables[name] = NAME if named else UNKNOWN
        for name, values in before.arrays.items():
            if self.arrays.get(name) != values:
                self.arrays[name] = [UNKNOWN]
        moved = self.directory != before.directory
        if moved and not (before.directory == inside or before.directory.startswith(f"{inside}/")):
            self.directory = UNKNOWN

    def value(self, name: str, home: str) -> str | None:
        """The value of a variable as the command may know it."""
        if name in self.variables:
            return self.variables[name]
        if name in self.arrays:
            return self.arrays[name][0] if self.arrays[name] else ""
        if name.isdigit() and name != "0":
            at = int(name) - 1
            return self.arguments[at] if at < len(self.arguments) else ""
        fixed = {
            "HOME": home,
            "PWD": self.directory,
            "IFS": " \t\n",
            "USER": home.rpartition("/")[2],
            "LOGNAME": home.rpartition("/")[2],
            "SHELL": "/bin/bash",
            "0": "bash",
            "PATH": OUTPUT,
            "TMPDIR": f"/{TEMPORARY}",
        }
        if name in {"?", "$", "!", "#", "RANDOM", "SECONDS", "EPOCHSECONDS", "LINENO", "UID", "EUID", "BASHPID", "-"}:
            return NAME
        return SECRET if _SECRET_NAME.fullmatch(name.upper()) else fixed.get(name)


@dataclass(frozen=True)
class Finding:
    """One reason against a command: the rule, what of the command it is about, and where that stands."""

    rule: str
    part: str
    trail: Sequence[str]
    detail: str = ""


class Exhausted(Exception):
    """A command asks for more steps than judging may take."""

"""Goal patterns: a sentence with typed parameters such as ``{{limit:int}}``, matched against whole goals.

``{{{{`` stands for a literal ``{{``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import PurePosixPath

RESERVED = frozenset({"results", "workdir", "workspace"})
"""Names that placeholders use themselves, so no parameter may have them."""

_SLOT = re.compile(r"\{\{(\{\{|.*?\}\})")
_DECLARATION = re.compile(r"([a-z][a-z0-9_]*):([a-z]+)")


def _whole_number(value: str) -> str:
    """The number without leading zeros, so that it is also a literal of Python and JSON."""
    return str(int(value))


def _inner_path(value: str) -> str | None:
    """The path if it stays below the folder it is relative to."""
    path = PurePosixPath(value)
    return None if path.is_absolute() or ".." in path.parts else value


TYPES: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "int": (r"-?[0-9]{1,18}", _whole_number),
    "word": (r"\S+", str),
    "path": (r"[^\s'\"]+", _inner_path),
    "text": (r".+", str),
}
"""The types of parameters: the text they fit, and the value made of it (None if it is not acceptable)."""


def fold(text: str) -> str:
    """The text in Unicode NFC with every run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def parameters(pattern: str) -> tuple[str, ...]:
    """The names of the pattern's parameters. Raises ValueError for a pattern that cannot be read."""
    return tuple(_compile(pattern)[1])


def match_goal(pattern: str, goal: str) -> dict[str, str] | None:
    """The parameter values if the whole goal fits the pattern, else None.

    White space is folded on both sides. Letter case is ignored in the pattern's own words and kept in values.
    """
    regex, kinds = _compile(pattern)
    found = regex.fullmatch(fold(goal))
    if found is None:
        return None
    values = {}
    for name, text in found.groupdict().items():
        value = TYPES[kinds[name]][1](text)
        if value is None:
            return None
        values[name] = value
    return values


@lru_cache(maxsize=256)
def _compile(pattern: str) -> tuple[re.Pattern[str], dict[str, str]]:
    kinds: dict[str, str] = {}
    regex = ""
    literal = True
    for piece in _SLOT.split(fold(pattern)):
        if literal or piece == "{{":
            regex += f"(?i:{re.escape(piece)})"
        else:
            name, kind = _declared(piece.removesuffix("}}"))
            if name in kinds:
                raise ValueError(f"the parameter {name} occurs twice")
            kinds[name] = kind
            regex += f"(?P<{name}>{TYPES[kind][0]})"
        literal = not literal
    return re.compile(regex), kinds


def _declared(piece: str) -> tuple[str, str]:
    found = _DECLARATION.fullmatch(piece)
    if found is None:
        raise ValueError(f"{{{{{piece}}}}} is no parameter; write {{{{name:type}}}}")
    name, kind = found.groups()
    if name in RESERVED:
        raise ValueError(f"the parameter name {name} is reserved")
    if kind not in TYPES:
        raise ValueError(f"the type {kind} of {name} is unknown; the types are {', '.join(TYPES)}")
    return name, kind

"""Glob patterns: ``*``, ``?``, ``[...]``, ``{a,b}`` and ``**`` for any number of directories."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate

from llmos_plugin_tools.base import Refused

MAX_ALTERNATIVES = 256
"""How many patterns the braces of one pattern may stand for."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_MAGIC = re.compile(r"[*?\[{]")
_Part = re.Pattern[str] | None  # None is "**"


class GlobPattern:
    """A pattern for relative POSIX paths. Without a slash it matches file names at any depth."""

    def __init__(self, pattern: str, *, anchored: bool = False) -> None:
        self._alternatives = [_parts(text, anchored) for text in _expand(pattern)]

    def matches(self, path: str) -> bool:
        names = path.split("/")
        return any(_match(names, parts) for parts in self._alternatives)


def split_base(pattern: str) -> tuple[str, str]:
    """The directory a pattern starts in (maybe empty), and the rest: ``src/a/*.py`` -> ``src/a/``, ``*.py``."""
    magic = _MAGIC.search(pattern)
    cut = pattern.rfind("/", 0, magic.start() if magic else len(pattern)) + 1
    return pattern[:cut], pattern[cut:]


def _expand(pattern: str) -> list[str]:
    """The pattern without braces, once for each choice of alternatives, innermost braces first."""
    done: list[str] = []
    pending = [pattern]
    while pending:
        text = pending.pop()
        match = _BRACES.search(text)
        if match is None:
            done.append(text)
        else:
            pending += [text[: match.start()] + choice + text[match.end() :] for choice in match[1].split(",")]
        if len(done) + len(pending) > MAX_ALTERNATIVES:
            raise Refused(f"The glob pattern stands for more than {MAX_ALTERNATIVES} patterns.")
    return done


def _parts(pattern: str, anchored: bool) -> list[_Part]:
    texts = [text for text in pattern.split("/") if text not in ("", ".")]
    if not anchored and "/" not in pattern:
        texts.insert(0, "**")
    # fnmatch's translation has no nested repetition: matching a name takes linear time.
    return [None if text == "**" else re.compile(translate(text)) for text in texts]


def _match(names: Sequence[str], parts: Sequence[_Part]) -> bool:
    """Whether the parts match all names; keeps the set of places in the pattern that the names so far can reach."""
    reached = _skip({0}, parts)
    for name in names:
        reached = _skip({following for at in reached for following in _step(name, at, parts)}, parts)
    return len(parts) in reached


def _step(name: str, at: int, parts: Sequence[_Part]) -> Sequence[int]:
    if at == len(parts):
        return ()
    part = parts[at]
    if part is None:
        return (at,)
    return (at + 1,) if part.match(name) else ()


def _skip(places: set[int], parts: Sequence[_Part]) -> set[int]:
    """The places, and those after a ``**`` that matches no further directory."""
    for at in sorted(places):
        after = at
        while after < len(parts) and parts[after] is None:
            after += 1
            places.add(after)
    return places

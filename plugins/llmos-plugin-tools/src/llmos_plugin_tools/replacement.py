"""Replacing text the way models mean it: line ends and typographic quotes may differ, the rest is literal."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import partial

_DOUBLE = "\u201c\u201d"
_SINGLE = "\u2018\u2019"
_STRAIGHT = str.maketrans(_DOUBLE + _SINGLE, "\"\"''")
_OPENERS = "([{\u2013\u2014" + _DOUBLE[0] + _SINGLE[0]


@dataclass(frozen=True, slots=True)
class Replacement:
    """The content after replacing, and how often ``old`` occurs in the content before."""

    content: str
    count: int


def replace(content: str, old: str, new: str) -> Replacement:
    """Replace every occurrence of ``old``, which must not be empty.

    In a file whose lines mostly end in CRLF, a newline of ``old`` stands for CRLF and those of ``new`` become CRLF.
    Where ``old`` does not occur as it is, straight and typographic quotes count as equal, as do both line ends, and
    ``new`` gets the typographic quotes of what it replaces. An empty ``new`` also takes the line end after a match.
    Text outside the matches never changes.
    """
    crlf = 2 * content.count("\r\n") > content.count("\n")
    exact = _find(content, old, newlines=crlf, quotes=False)
    spans = exact or _find(content, old, newlines=True, quotes=True)
    if crlf:
        new = new.replace("\r\n", "\n").replace("\n", "\r\n")
    if not new and not old.endswith("\n"):
        spans = [(start, _after_line_end(content, end)) for start, end in spans]
    pieces = []
    done = 0
    for start, end in spans:
        pieces += [content[done:start], new if exact else _dressed(new, old, content[start:end])]
        done = end
    return Replacement("".join([*pieces, content[done:]]), len(spans))


def _find(content: str, old: str, *, newlines: bool, quotes: bool) -> list[tuple[int, int]]:
    """Where ``old`` occurs, without overlaps, after both texts were folded as asked."""
    folds: list[int] = []
    if newlines:
        # Every CRLF before a place in the folded text shifts it by one in the content.
        folds = [match.start() - index for index, match in enumerate(re.finditer("\r\n", content))]
        content, old = content.replace("\r\n", "\n"), old.replace("\r\n", "\n")
    if quotes:
        content, old = content.translate(_STRAIGHT), old.translate(_STRAIGHT)
    spans = []
    at = content.find(old)
    while at >= 0:
        end = at + len(old)
        spans.append((at + bisect_left(folds, at), end + bisect_left(folds, end)))
        at = content.find(old, end)
    return spans


def _after_line_end(content: str, place: int) -> int:
    """The place behind the line end at ``place``, if there is one."""
    return next((place + len(end) for end in ("\r\n", "\n") if content.startswith(end, place)), place)


def _dressed(new: str, old: str, found: str) -> str:
    """``new`` with the typographic quotes of ``found``, where ``old`` had straight ones in their place."""
    for straight, pair in (('"', _DOUBLE), ("'", _SINGLE)):
        if straight in old and any(quote in found for quote in pair):
            new = re.sub(straight, partial(_curly, pair), new)
    return new


def _curly(pair: str, match: re.Match[str]) -> str:
    before = match.string[: match.start()][-1:]
    opens = not before or before.isspace() or before in _OPENERS
    return pair[0] if opens else pair[1]

"""Shell text to a syntax tree, within limits: what cannot be parsed surely is not judged at all."""

from __future__ import annotations

import math
import re
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_CHARS = 50_000
MAX_DEPTH = 150
MAX_NODES = 40_000
MAX_SECONDS = 0.7
SHORT = 500
"""Up to how many bytes a text is parsed without a look at the clock."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# The grammar knows a here-string only before other redirections; the shell takes them in any order.
_HERE_STRING = re.compile(
    r"\s*([\w.-]+(?:[ \t]+[\w./=-]+)*)[ \t]*((?:>>?|2>)[ \t]*[\w./-]+)[ \t]*"
    r"(<<<[ \t]*(?:'[^']*'|\"[^\"$`\\]*\"|[\w./-]+))\s*"
)


class Unparseable(Exception):
    """A command that has no sure syntax tree. ``rule`` says which limit it broke."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule = rule


@cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def parse(text: str, until: float = math.inf) -> Node:
    """The tree of a command. Raises Unparseable for what is too large, too deep, no shell, or not read by ``until``,
    a time of ``time.monotonic``.
    """
    if "\0" in text:
        raise Unparseable("control-characters", "it holds a NUL character")
    if len(text) > MAX_CHARS:
        raise Unparseable("too-large", f"it has {len(text):,} characters; {MAX_CHARS:,} are judged")
    if found := _CONTROL.search(text):
        raise Unparseable("control-characters", f"it holds the invisible character U+{ord(found.group()):04X}")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise Unparseable("control-characters", "it is no valid Unicode text") from None
    root = _tree(data, until)
    _check(root)
    if root.has_error and (simple := _HERE_STRING.fullmatch(text)):
        root = _tree("{0} {2} {1}".format(*simple.groups()).encode(), until)
    if root.has_error:
        raise Unparseable("unparseable", "it is no shell that can be read surely")
    return root


def _tree(data: bytes, until: float) -> Node:
    """What is no shell may take the parser a time that grows with the square of the length."""
    if len(data) <= SHORT:
        return _parser().parse(data).root_node
    until = min(until, time.monotonic() + MAX_SECONDS)
    try:
        return (
            _parser()
            .parse(lambda at, _: data[at : at + 65_536], progress_callback=lambda *_: time.monotonic() > until)
            .root_node
        )
    except ValueError:
        _parser().reset()
        raise Unparseable("too-complex", "it takes too long to read") from None


def _check(root: Node) -> None:
    """Walks with a cursor: a tree too deep for recursion must not end the process."""
    cursor = root.walk()
    depth = nodes = 0
    while True:
        nodes += 1
        if nodes > MAX_NODES:
            raise Unparseable("too-large", f"it has more than {MAX_NODES:,} parts")
        if cursor.goto_first_child():
            depth += 1
            if depth > MAX_DEPTH:
                raise Unparseable("too-deep", f"it is nested deeper than {MAX_DEPTH} levels")
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            depth -= 1


def source(node: Node) -> str:
    """The text of a node."""
    return (node.text or b"").decode()

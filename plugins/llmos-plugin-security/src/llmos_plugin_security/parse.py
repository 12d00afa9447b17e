"""Shell text to a syntax tree, within limits: what cannot be parsed surely is not judged at all."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_CHARS = 50_000
MAX_DEPTH = 150
MAX_NODES = 40_000

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


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


def parse(text: str) -> Node:
    """The tree of a command. Raises Unparseable for what is too large, too deep, or no shell."""
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
    root = _parser().parse(data).root_node
    _check(root)
    if root.has_error:
        raise Unparseable("unparseable", "it is no shell that can be read surely")
    return root


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

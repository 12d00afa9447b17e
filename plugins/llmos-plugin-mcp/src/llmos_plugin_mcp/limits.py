"""What a stranger's schema may ask of us: its size, its patterns and how far its references unfold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST_SCHEMA = 100_000
_LONGEST_PATTERN = 500
_MOST_EXPANSIONS = 1_000
_QUANTIFIER = re.compile(r"[*+?]|\{\d*,\d*\}")
_REPEATS = re.compile(r"[*+]|\{\d+(,\d*)?\}")
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[^\s()]?|.", re.DOTALL)


def beyond(schema: Mapping[str, Any]) -> str | None:
    """Why judging an input by this schema could take for ever; None if it cannot. Raises RecursionError."""
    if len(json.dumps(schema)) > _LONGEST_SCHEMA:
        return f"its schema is longer than {_LONGEST_SCHEMA} characters"
    for pattern in _patterns(schema):
        if len(pattern) > _LONGEST_PATTERN:
            return f"its schema has a pattern of more than {_LONGEST_PATTERN} characters"
        if _nests_quantifiers(pattern):
            return f"its schema has a pattern with a quantifier inside of another: {pattern}"
    if _Expansions(schema).total > _MOST_EXPANSIONS:
        return f"the references of its schema unfold to more than {_MOST_EXPANSIONS}"
    return None


def _patterns(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _patterns(each)
    elif isinstance(node, dict):
        if isinstance(pattern := node.get("pattern"), str):
            yield pattern
        if isinstance(named := node.get("patternProperties"), dict):
            yield from named
        for each in node.values():
            yield from _patterns(each)


def _nests_quantifiers(pattern: str) -> bool:
    """Whether a group that may match in several lengths is repeated: ``(a+)+`` takes exponential time."""
    varies = [False]  # for each open group, whether it holds a quantifier
    place = 0
    while place < len(pattern):
        if found := _QUANTIFIER.match(pattern, place):
            varies[-1] = True
            place = found.end()
            continue
        atom = _ATOM.match(pattern, place)
        assert atom is not None
        place = atom.end()
        if atom[0].startswith("("):
            varies.append(False)
        elif atom[0] == ")" and len(varies) > 1:
            inner = varies.pop()
            if inner and _REPEATS.match(pattern, place):
                return True
            varies[-1] |= inner
    return False


class _Expansions:
    """How many references are followed where a schema is unfolded; one that leads back into itself counts once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        self._resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
        self._known: dict[str, int] = {}
        # Definitions count where they are used.
        self.total = self._in({key: each for key, each in schema.items() if key not in ("$defs", "definitions")})

    def _in(self, node: object) -> int:
        if isinstance(node, list):
            return sum(map(self._in, node))
        if not isinstance(node, dict):
            return 0
        references = (node.get(key) for key in ("$ref", "$dynamicRef"))
        return sum(1 + self._of(each) for each in references if isinstance(each, str)) + sum(
            map(self._in, node.values())
        )

    def _of(self, reference: str) -> int:
        from referencing.exceptions import Unresolvable

        if reference not in self._known:
            self._known[reference] = 0
            try:
                self._known[reference] = self._in(self._resolver.lookup(reference).contents)
            except Unresolvable:  # an input that needs it is refused
                return 0
        return self._known[reference]

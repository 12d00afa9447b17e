"""Placeholders such as ``{{limit}}`` or ``{{results.1}}`` inside the strings of a lesson.

They are replaced in one pass: what a value brings in is never looked at again. ``{{{{`` writes a literal ``{{``;
braces around anything that is no name stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

_PLACEHOLDER = re.compile(r"\{\{\{\{|\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}", re.ASCII)


def names(text: str) -> Iterator[str]:
    """The placeholder names in the text."""
    return (found[1] for found in _PLACEHOLDER.finditer(text) if found[1])


def strings(value: JsonValue, key: str) -> Iterator[tuple[str, str]]:
    """Every string inside a JSON value, each with its dotted key, starting from ``key``."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from strings(item, f"{key}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, f"{key}.{index}")


def fill_text(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders replaced; one that has no value stays as it is."""

    def replacement(found: re.Match[str]) -> str:
        return values.get(found[1], found[0]) if found[1] else "{{"

    return _PLACEHOLDER.sub(replacement, text)


def fill(value: JsonValue, values: Mapping[str, str]) -> JsonValue:
    """The JSON value with the placeholders in all its strings replaced."""
    if isinstance(value, str):
        return fill_text(value, values)
    if isinstance(value, dict):
        return {name: fill(item, values) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    return value

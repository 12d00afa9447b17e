"""Recorded texts as a lesson writes them: directories and goal parameters as placeholders, ``{{`` escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from llmos_core import Abstraction

_PRIVATE_USE = range(0xE000, 0xF900)
_PLACE = re.compile(r"(\{\{(?:workdir|workspace)\}\})")


def escape(text: str) -> str:
    """The text so that no ``{{`` in it is read as the beginning of a placeholder."""
    return text.replace("{{", "{{{{")


class Template:
    """Makes templates of texts.

    Filled with the same values, a template gives its text again; only a directory in its resolved spelling (without
    symbolic links) comes back in the given one.

    Args:
        workdir: the run's working directory, absolute.
        workspace: the workspace's root, absolute.
        values: the goal's parameters; each whole word that is such a value becomes its placeholder.
        texts: all texts that will be turned.

    """

    def __init__(self, workdir: Path, workspace: Path, values: Mapping[str, str], texts: Iterable[str]) -> None:
        used = set().union(*texts)
        # One character that stands for "{{" in between, so that none of the texts holds anything like a slot.
        self._braces = next(char for char in map(chr, _PRIVATE_USE) if char not in used)
        self._places = Abstraction.of({"workdir": workdir, "workspace": workspace}, ())
        self._names = {value: name for name, value in reversed(list(values.items()))}
        words = "|".join(map(re.escape, sorted(self._names, key=len, reverse=True)))
        self._word = re.compile(rf"(?<![\w.])(?:{words})(?!\w|\.\d)") if words else None

    def of(self, text: str) -> str:
        """The template of a text."""
        pieces = _PLACE.split(self._places.abstract(text.replace("{{", self._braces)))
        pieces[::2] = map(self._with_names, pieces[::2])
        return "".join(pieces).replace(self._braces, "{{{{")

    def of_value(self, value: JsonValue) -> JsonValue:
        """A JSON value with the templates of all its strings; keys stay."""
        if isinstance(value, str):
            return self.of(value)
        if isinstance(value, dict):
            return {key: self.of_value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of_value(item) for item in value]
        return value

    def goal_of(self, text: str) -> tuple[str, str]:
        """A goal pattern that fits the text in any place, for each directory is a parameter; and an example of it."""
        pieces = _PLACE.split(self._places.abstract(text.replace("{{", self._braces)))
        pattern, example = list(pieces), list(pieces)
        pattern[1::2] = (f"{{{{place{number}:text}}}}" for number in range(1, len(pieces) // 2 + 1))
        example[1::2] = (slot.strip("{}") for slot in pieces[1::2])
        return "".join(pattern).replace(self._braces, "{{{{"), "".join(example).replace(self._braces, "{{")

    def _with_names(self, text: str) -> str:
        if self._word is None:
            return text
        return self._word.sub(lambda found: f"{{{{{self._names[found[0]]}}}}}", text)

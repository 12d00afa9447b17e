"""Slots: the directories of one run out of its texts, and those of another run into them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeVar, cast

from pydantic import JsonValue

from llmos_core.errors import TraceError
from llmos_core.trace.record import Parameter, Trace

Source = Literal["workdir", "workspace"]
J = TypeVar("J", bound=JsonValue)

_WORD = re.compile(r"[\w@%+=:,./-]+")
_WORDS = re.compile(r"[\w@%+=:,./ -]+")
_CONFUSING = ("#", "<<", "$'")  # comments, heredocs and ANSI-C quotes, in which quotation marks mean something else
_SLOT = re.compile(r"\{\{([a-z][a-z0-9_]*)\}\}")

# A path begins where no other path goes on: at the start, after a character that is no part of a path, after an option
# (-I/a) or the mark of a diff (+/a), after words of a script without spaces, after a scheme (file:///a), after an
# escape in quoted code ("\n/a"), after a terminal's colour code.
_BEFORE = r"(?:(?:\A|[^\w./~)}+-])(?:[-+][A-Za-z]*|[^\W\x00-\x7f]+)?|://|\\[nrt]|\x1b\[[0-9;]*m)"
# It ends where its last name cannot go on. Points may end a sentence; a backslash may hold a blank in the name.
_AFTER = r"(?![\w~+@%-]|\.+[\w/~+@%-]|\\ )"


class Abstraction:
    """Turns the directories of one run, wherever a JSON value holds their absolute paths, into slots.

    What it gives, :func:`bind` turns back into the same value. A path in its resolved spelling (without symbolic
    links) becomes the same slot as the given one, and so comes back in the given spelling.
    """

    def __init__(self, slots: Mapping[str, Source], spellings: Mapping[str, str]) -> None:
        self._slots = slots
        self._spellings = spellings
        self._used: set[str] = set()
        longest_first = sorted(spellings, key=len, reverse=True)
        self._path = re.compile(f"({_BEFORE})({'|'.join(map(re.escape, longest_first))}){_AFTER}")

    @classmethod
    def of(cls, directories: Mapping[Source, Path], texts: Iterable[str]) -> Abstraction:
        """Slots for these absolute directories, with names that none of the texts holds as ``{{name}}`` already."""
        taken = {name for text in texts if "{{" in text for name in _SLOT.findall(text)}
        names = {source: _free(source, taken) for source in directories}
        spellings: dict[str, str] = {}
        for spell in (str, os.path.realpath):
            for source, path in directories.items():
                if not path.is_absolute() or path == Path(path.anchor):
                    raise TraceError(f"The {source} cannot become a slot.", "It is relative or the root directory.")
                # The first owner of a spelling keeps it; the given ones come first.
                spellings.setdefault(spell(path), names[source])
        return cls({name: source for source, name in names.items()}, spellings)

    def abstract(self, value: J) -> J:
        """The value with slots. Raises TraceError for a text that holds one of the slots already."""
        return cast("J", _rewrite(value, self._abstract))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The slots that were used so far."""
        return tuple(Parameter(name=name, source=source) for name, source in self._slots.items() if name in self._used)

    def _abstract(self, text: str) -> str:
        if "{{" in text and not self._slots.keys().isdisjoint(_SLOT.findall(text)):
            raise TraceError("The trace cannot be written.", "A text of the run holds the name of a slot.")
        if not any(path in text for path in self._spellings):
            return text
        return self._path.sub(self._slot, text)

    def _slot(self, found: re.Match[str]) -> str:
        name = self._spellings[found[2]]
        self._used.add(name)
        return f"{found[1]}{{{{{name}}}}}"


def bind(value: J, values: Mapping[str, str]) -> J:
    """The value with each slot that has a value replaced by it, once; other slots stay as they are."""
    if not values:
        return value

    def fill(text: str) -> str:
        return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), text) if "{{" in text else text

    return cast("J", _rewrite(value, fill))


def values_for(trace: Trace, workdir: str, workspace: str) -> dict[str, str]:
    """What a trace's slots stand for in a run with these directories."""
    directories = {"workdir": workdir, "workspace": workspace}
    return {parameter.name: directories[parameter.source] for parameter in trace.parameters}


def check_values(trace: Trace, values: Mapping[str, str]) -> None:
    """Raise TraceError if a slot has no value, or one that a command would not read as a part of one word.

    A command was written with another path in that place: with a blank in the path, ``rm -r {{workdir}}/x`` would
    remove something else.
    """
    for parameter in trace.parameters:
        name = parameter.name
        if name not in values:
            raise TraceError("The trace cannot be replayed.", f"It needs a value for: {name}.")
        if _WORD.fullmatch(values[name]):
            continue
        slot = f"{{{{{name}}}}}"
        if not all(_stays_a_word(text, slot, values[name]) for text in _commands_with(slot, trace)):
            raise TraceError(
                "The trace cannot be replayed in this place.",
                f"One of its commands holds the path of the {parameter.source}, and a shell would take it apart: "
                f"{values[name]}",
                "Use a path of letters, digits and _ - . , + @ % = : / only.",
            )


def _commands_with(slot: str, trace: Trace) -> Iterator[str]:
    """Every text that may be a command and holds the slot."""
    for step in trace.steps:
        if step.effect == "external":
            yield from (text for text in _texts(step.arguments) if slot in text)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)


def _stays_a_word(text: str, slot: str, value: str) -> bool:
    """Whether a value with blanks stays within its word, for it stands in quotes. All doubt is no."""
    if not _WORDS.fullmatch(value) or any(mark in text for mark in _CONFUSING):
        return False
    try:
        before, after = shlex.split(text), shlex.split(text.replace(slot, value))
    except ValueError:
        return False
    return after == [word.replace(slot, value) for word in before]


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _rewrite(value: JsonValue, change: Callable[[str], str]) -> JsonValue:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_rewrite(item, change) for item in value]
    if isinstance(value, dict):
        result = {change(key): _rewrite(item, change) for key, item in value.items()}
        if len(result) != len(value):
            raise TraceError("A value cannot be bound.", "Two of its keys would become the same.")
        return result
    return value

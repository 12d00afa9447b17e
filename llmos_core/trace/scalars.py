"""One value on one line: it reads back as the same value, looks like what it is, and hides nothing from a reader."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import JsonValue

# The classes are spelled out, not taken from Python's Unicode tables: those differ between versions of Python, and the
# same trace must always give the same bytes.
_CONTROLS = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    r"\u061c\u2028-\u202e\u2066-\u2069"  # line separators, marks that reorder text
    r"\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"  # byte order mark, annotations, invisible tags
)
CONTROL = re.compile(f"[{_CONTROLS}]")
"""Characters that never stand in a trace file as themselves."""

_UNSEEN = re.compile(rf"[{_CONTROLS}\t\n\xa0\xad\u115f\u1160\u1680\u180e\u2000-\u200f\u202f\u205f-\u2065\u3000\u3164]")

_INDICATORS = frozenset("-?:,[]{}#&*!|>'\"%@`")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", "nan", "inf", "infinity"))
_NUMBER = re.compile(r"(?=.*[0-9])[0-9.+][0-9a-fA-FxXoO_.,:+-]*|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?|=|<<")
_SLOT_AT_START = re.compile(r"\{\{[a-z][a-z0-9_]*\}\}")


def is_line(text: str) -> bool:
    """Whether a text can stand for itself where nothing but text is expected."""
    return bool(text) and text[0] != '"' and text == text.strip(" ") and not _UNSEEN.search(text)


def is_plain(text: str) -> bool:
    """Whether a text can stand for itself where other values may stand: YAML and JSON read nothing else in it."""
    return (
        is_line(text)
        and text[0] not in _INDICATORS
        and text[-1] != ":"
        and ": " not in text
        and " #" not in text
        and text.lower().lstrip("+.") not in _WORDS
        and not _NUMBER.fullmatch(text)
    )


def is_argument(text: str) -> bool:
    """As :func:`is_plain`, but a slot may come first; no JSON text begins like one."""
    return is_plain(_SLOT_AT_START.sub("slot", text, count=1) if text.startswith("{{") else text)


def to_json(value: JsonValue) -> str:
    """JSON on one line in which every character can be seen. Raises ValueError for NaN and infinities."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def from_json(text: str) -> JsonValue:
    """The value of a JSON text. Raises ValueError for NaN, infinities, lone surrogates and repeated keys."""
    try:
        value: JsonValue = _DECODER.decode(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError("it is neither plain text nor JSON") from error
    return value


def write_line(text: str) -> str:
    """A text where nothing but text is expected: itself if it can, else a JSON string."""
    return text if is_line(text) else to_json(text)


def read_line(raw: str) -> str:
    """The inverse of :func:`write_line`. Raises ValueError."""
    if is_line(raw):
        return raw
    value = from_json(raw)
    if not isinstance(value, str):
        raise ValueError("it is JSON, but no string")  # noqa: TRY004
    return value


def write_argument(value: JsonValue) -> str:
    """An argument's value: a plain text as itself, anything else as JSON."""
    return value if isinstance(value, str) and is_argument(value) else to_json(value)


def read_argument(raw: str) -> JsonValue:
    """The inverse of :func:`write_argument`. Raises ValueError for what is neither plain text nor JSON."""
    return raw if is_argument(raw) else from_json(raw)


def write_yaml(text: str) -> str:
    """A text as a YAML scalar on one line."""
    if is_plain(text):
        return text
    return _UNSEEN.sub(lambda found: f"\\U{ord(found[0]):08X}", json.dumps(text, ensure_ascii=False))


def visible(text: str) -> str:
    """The text with its control characters shown as escapes; fit for a terminal."""
    return CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], text)


def shown(text: str, limit: int = 80) -> str:
    """A text as one short quoted line, for messages."""
    return to_json(text if len(text) <= limit else text[: limit - 1] + "…")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("it repeats a key")
    return result


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)

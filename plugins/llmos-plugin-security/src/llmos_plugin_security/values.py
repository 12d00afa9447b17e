"""Texts that are known in part: ordinary strings in which one private character stands for what is not known.

So a text can be joined, split and searched like any other, and whether it is decided is one look at its characters.
A command that itself holds one of these characters is refused.
"""

from __future__ import annotations

import re

UNKNOWN = "\ue000"
"""Any text: a variable that nobody has set."""
OUTPUT = "\ue001"
"""Any text: what a command has printed or a file holds."""
NETWORK = "\ue002"
"""Any text, and it came over the network."""
NAME = "\ue003"
"""A text without slash: a number, a date, the name of a file."""
STAR = "\ue004"
"""An unquoted ``*``: names in that directory, all but the hidden ones."""
ANY = "\ue005"
"""An unquoted ``?`` or ``[...]``: one character of a name."""
SOME = "\ue006"
"""Some of the files below, at any depth: what ``find`` with a test has found."""
SPLIT = "\ue007"
"""Where a word ends: unquoted blanks of an expansion."""
QUOTED = "\ue008"
"""Nothing, but it was quoted: a word that may be empty."""
SECRET = "\ue00e"  # noqa: S105 - a mark
"""The value of a variable with the name of a secret."""
TEMPORARY = "\ue00f"
"""As the first part of a path: the directory that each run has for its temporary files."""
ENDLESS = "\ue00d"
"""A text without end."""
TILDE, OPEN, COMMA, CLOSE = "\ue009", "\ue00a", "\ue00b", "\ue00c"
"""The same characters unquoted, until they are expanded."""

_ANYTHING = re.compile(f"[{UNKNOWN}{OUTPUT}{NETWORK}{ENDLESS}{SECRET}]")
_OPEN_ENDED = re.compile(f"[{UNKNOWN}{OUTPUT}{NETWORK}{ENDLESS}{SECRET}{NAME}{STAR}{ANY}{SOME}]")
_SHOWN = {
    UNKNOWN: "<unknown>",
    OUTPUT: "<output>",
    NETWORK: "<network>",
    NAME: "<name>",
    STAR: "*",
    ANY: "?",
    SOME: "<found>",
    SPLIT: " ",
    QUOTED: "",
    ENDLESS: "<endless>",
    SECRET: "<secret>",
    TEMPORARY: "$TMPDIR",
    TILDE: "~",
    OPEN: "{",
    COMMA: ",",
    CLOSE: "}",
}
_PLAIN = str.maketrans({QUOTED: "", TILDE: "~", OPEN: "{", COMMA: ",", CLOSE: "}"})
_AS_TEXT = str.maketrans({STAR: "*", ANY: "?", SPLIT: " ", QUOTED: "", TILDE: "~", OPEN: "{", COMMA: ",", CLOSE: "}"})
_MAP = str.maketrans(_SHOWN)


def holds_marks(text: str) -> bool:
    """Whether a text that nobody has judged yet holds one of these characters."""
    return re.search(f"[{UNKNOWN}-{TEMPORARY}]", text) is not None


def is_open(text: str) -> bool:
    """Whether a text holds something that may be anything."""
    return _ANYTHING.search(text) is not None


def is_decided(text: str) -> bool:
    """Whether every character of a text is known."""
    return _OPEN_ENDED.search(text) is None


def runs_more(text: str) -> bool:
    """Whether a text holds what bash would run if it evaluated it."""
    return "$(" in text or "`" in text


def has_subscript(text: str) -> bool:
    """Whether a text has a subscript that runs commands, as in ``a[$(x)]``. Linear in the text."""
    if not runs_more(text):
        return False
    found = ((part, re.search(r"\w\[", part)) for part in text.split("]"))
    return any(runs_more(part[start.end() :]) for part, start in found if start)


def plain(text: str) -> str:
    """A text whose quoting and braces are done with."""
    return text.translate(_PLAIN)


def as_text(text: str) -> str:
    """A text as a program reads it: what is no pattern any more is the character itself."""
    return text.translate(_AS_TEXT)


def shown(text: str, limit: int = 120) -> str:
    """A text for people, in one line."""
    line = " ".join(text.replace(f"/{TEMPORARY}", TEMPORARY).translate(_MAP).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."

"""From a node of a word to the words that the shell makes of it: quotes, escapes, variables, braces, splitting."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from llmos_plugin_security.parse import source
from llmos_plugin_security.values import (
    ANY,
    CLOSE,
    COMMA,
    NAME,
    OPEN,
    OUTPUT,
    QUOTED,
    SPLIT,
    STAR,
    TILDE,
    UNKNOWN,
    as_text,
    is_decided,
    is_open,
    plain,
)

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_WORDS = 256
"""How many words one may become by its braces; more are not decided."""
MAX_CHARS = 2_000
"""How long a word with braces may be; a longer one is not decided."""

_SPECIAL = {"*": STAR, "?": ANY, "[": ANY, "~": TILDE, "{": OPEN, ",": COMMA, "}": CLOSE}
_ACTIVE = str.maketrans({" ": SPLIT, "\t": SPLIT, "\n": SPLIT, "*": STAR, "?": ANY, "[": ANY})
_ANSI = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|c.|.)", re.DOTALL)
_ANSI_NAMES = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BACKQUOTES = re.compile(r"(?<!\\)`((?:[^`\\]|\\.)*)`", re.DOTALL)
_IN_DOUBLE = re.compile(r"\\([$`\"\\\n])")
_SUBSTRING = re.compile(r"\s*(-?\d+)\s*(?::\s*(-?\d+)\s*)?")
_EXPANSION = re.compile(r"\$\{([!#]?)([A-Za-z_]\w*|[@*#?$!0-9-])(\[[^\]]*\])?(.*)\}", re.DOTALL)


class Variables(Protocol):
    """What words need of the shell they are in."""

    def value(self, name: str) -> str | None:
        """The value of a variable; None if it is not set, as far as one can know."""
        ...

    def values(self, name: str) -> list[str] | None:
        """The values of an array, or of ``@``."""
        ...

    def assign(self, name: str, value: str) -> None:
        """Set a variable."""
        ...

    def substitute(self, node: Node) -> str:
        """Judge a command substitution and give what it prints."""
        ...

    def text(self, text: str, what: str, stdin: str = "") -> str:
        """Judge a text as shell."""
        ...

    def process(self, node: Node) -> str:
        """Judge a process substitution and give the path that stands for it."""
        ...

    @property
    def home(self) -> str:
        """The user's home."""
        ...

    @property
    def directory(self) -> str:
        """The current directory."""
        ...


class Words:
    """The expansion of words within one shell."""

    def __init__(self, shell: Variables) -> None:
        self.shell = shell

    def fields(self, node: Node) -> list[str]:
        """The words that a node becomes."""
        parts = (part for word in braces(self._text(node, quoted=False)) for part in word.split(SPLIT))
        return [plain(self._tilde(part)) for part in parts if part]

    def scalar(self, node: Node) -> str:
        """The one text that a node becomes in an assignment, a redirection or a here-string."""
        text = self._text(node, quoted=False)
        return plain(self._tilde(text).replace(SPLIT, " "))

    def inner(self, node: Node) -> str:
        """The text of a here-document's body."""
        return as_text(self._joined(node, quoted=True, literal=self._backquoted))

    def _backquoted(self, text: str) -> str:
        """A text in which the grammar overlooks the commands in backquotes."""
        for found in _BACKQUOTES.finditer(text):
            self.shell.text(re.sub(r"\\([`$\\])", r"\1", found[1] or ""), "`...`")
        return _double(_BACKQUOTES.sub(OUTPUT, text))

    def _tilde(self, word: str) -> str:
        if not word.startswith(TILDE):
            return word.replace(f":{TILDE}", f":{self.shell.home}").replace(f"={TILDE}/", f"={self.shell.home}/")
        user, slash, rest = word[1:].partition("/")
        user = plain(user)
        known = {"": self.shell.home, "+": self.shell.directory, "root": "/root"}
        if user == "-" or not is_decided(user):
            return UNKNOWN + slash + rest
        return known.get(user, f"/home/{user}") + slash + rest

    def _text(self, node: Node, *, quoted: bool) -> str:
        kind = node.type
        made: Callable[[Node], str] | None = {
            "word": _word,
            "raw_string": lambda n: QUOTED + source(n)[1:-1],
            "ansi_c_string": lambda n: QUOTED + ansi(source(n)[2:-1]),
            "string": lambda n: QUOTED + self._joined(n, quoted=True, literal=_double)[1:-1],
            "translated_string": lambda n: self._joined(n, quoted=False, literal=lambda _: ""),
            "concatenation": lambda n: self._joined(n, quoted=False, literal=_unescaped),
            "simple_expansion": lambda n: self._simple(source(n)[1:], quoted),
            "expansion": lambda n: self._expansion(n, quoted),
            "command_substitution": lambda n: self._used(self.shell.substitute(n), quoted),
            "process_substitution": self.shell.process,
            "arithmetic_expansion": self._number,
            "brace_expression": lambda _: NAME,
            "string_content": lambda n: _double(source(n)),
        }.get(kind)
        if made is not None:
            return made(node)
        if not node.named_children:
            return _unescaped(source(node))
        self.visit(node)
        return UNKNOWN

    def _joined(self, node: Node, *, quoted: bool, literal: Callable[[str], str]) -> str:
        """The texts of all children, with what lies between them: the grammar leaves out blanks in strings."""
        data, start = node.text or b"", node.start_byte
        parts, at = [], start
        for child in node.named_children:
            if child.type == "string_content":
                continue
            parts.append(literal(data[at - start : child.start_byte - start].decode()))
            parts.append(self._text(child, quoted=quoted))
            at = child.end_byte
        parts.append(literal(data[at - start :].decode()))
        return "".join(parts)

    def visit(self, node: Node) -> None:
        """Judge the commands within what is not understood as a text."""
        for child in node.named_children:
            if child.type == "command_substitution":
                self.shell.substitute(child)
            elif child.type == "process_substitution":
                self.shell.process(child)
            else:
                self.visit(child)

    def _number(self, node: Node) -> str:
        self.visit(node)
        return NAME

    def _used(self, value: str, quoted: bool) -> str:
        """A value in its place: unquoted, its blanks split and its wildcards match."""
        if quoted:
            return value
        separators = self.shell.value("IFS")
        if separators is None or is_open(separators):
            return UNKNOWN if value else value
        return value.translate(_ACTIVE | dict.fromkeys(map(ord, separators), SPLIT))

    def _simple(self, name: str, quoted: bool) -> str:
        if name in {"@", "*"}:
            return self._all(self.shell.values("@") or [], name, quoted)
        value = self.shell.value(name)
        return self._used(UNKNOWN if value is None else value, quoted)

    def _all(self, values: list[str], sign: str, quoted: bool) -> str:
        """All values: each a word of its own, or for a quoted ``*`` one word, joined by the first separator."""
        between = SPLIT
        if sign == "*" and quoted:
            separators = self.shell.value("IFS")
            between = UNKNOWN if separators is None or is_open(separators) else separators[:1]
        return between.join(self._used(value, quoted) for value in values)

    def _expansion(self, node: Node, quoted: bool) -> str:
        parts = _EXPANSION.fullmatch(source(node))
        self.visit(node)
        if parts is None:
            return UNKNOWN
        sign, name, index, rest = parts.groups()
        self._backquoted(rest)
        if sign == "#":
            return NAME
        if sign == "!":
            pointed = self.shell.value(name)
            if rest or index or pointed is None or not re.fullmatch(r"[A-Za-z_]\w*", pointed):
                return UNKNOWN
            return self._simple(pointed, quoted)
        if index is not None and index[1:-1] in {"@", "*"} and not rest:
            values = self.shell.values(name)
            return UNKNOWN if values is None else self._all(values, index[1:-1], quoted)
        if index is not None:
            values = self.shell.values(name)
            at = index[1:-1]
            known = values is not None and at.isdigit() and int(at) < len(values) and not rest
            return self._used(values[int(at)], quoted) if known and values is not None else UNKNOWN
        if name in {"@", "*"} and not rest:
            return self._simple(name, quoted)
        return self._used(self._changed(name, self.shell.value(name), rest, node), quoted)

    def _changed(self, name: str, value: str | None, rest: str, node: Node) -> str:
        """The value after ``:-``, ``:=``, ``:+``, ``:offset``, ``%``, ``#`` and the like."""
        operator = rest[:2] if rest[:2] in {":-", ":=", ":+", ":?"} else rest[:1]
        if not rest:
            return UNKNOWN if value is None else value
        if operator in {":-", "-", ":=", "="}:
            if value and value != UNKNOWN:
                return value
            default = self._default(node, rest[len(operator) :])
            if operator in {":=", "="}:
                self.shell.assign(name, default)
            return default
        if operator in {":+", "+"}:
            return self._default(node, rest[len(operator) :]) if value is None or value else ""
        if operator in {":?", "?"}:
            return UNKNOWN if value is None else value
        if value is None:
            return UNKNOWN
        return _edited(value, operator, rest)

    def _default(self, node: Node, text: str) -> str:
        if not text:
            return ""
        named = [child for child in node.named_children if child.type != "variable_name"]
        if len(named) == 1 and source(named[0]) == text:
            return plain(self._text(named[0], quoted=True)).replace(SPLIT, " ")
        return text if re.fullmatch(r"[\w./~ @:+-]*", text) else UNKNOWN


def _edited(value: str, operator: str, rest: str) -> str:
    found = _SUBSTRING.fullmatch(rest[1:]) if operator == ":" else None
    if found and is_decided(value):
        start = int(found[1])
        start = max(0, len(value) + start) if start < 0 else start
        if found[2] is None:
            return value[start:]
        length = int(found[2])
        return value[start : start + length] if length >= 0 else value[start:length]
    if operator in {"%", "#"} and re.fullmatch(r"[%#]{1,2}[\w.*+-]*", rest):
        return _stripped(value, rest)
    if rest in {"^", "^^"} and is_decided(value):
        return value.upper() if rest == "^^" else value[:1].upper() + value[1:]
    if rest in {",", ",,"} and is_decided(value):
        return value.lower() if rest == ",," else value[:1].lower() + value[1:]
    return UNKNOWN if is_decided(value) else OUTPUT


def _stripped(value: str, rest: str) -> str:
    """``${x%.txt}``: a shorter name in the same place, as long as no slash is in the pattern."""
    head, slash, last = value.rpartition("/")
    suffix = rest.lstrip("%#")
    if rest[0] == "%" and "*" not in suffix and is_decided(last):
        return head + slash + last.removesuffix(suffix)
    if not is_decided(value) and "/" not in rest:
        return value
    return UNKNOWN


def braces(text: str) -> list[str]:
    """The words of ``a{b,c}``; what does not expand stays."""
    if OPEN not in text or (COMMA not in text and ".." not in text):
        return [text]
    if len(text) > MAX_CHARS:
        return [UNKNOWN]
    made = _braces(text)
    return [UNKNOWN] if made is None else made


def _braces(text: str) -> list[str] | None:
    """None for more words than are judged."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        if len(waiting) + len(done) > MAX_WORDS:
            return None
        word = waiting.pop()
        group = next(_groups(word), None)
        if group is None:
            done.append(word)
            continue
        start, end, parts = group
        waiting.extend(word[:start] + part + word[end:] for part in reversed(parts))
    return done


def _groups(word: str) -> Iterator[tuple[int, int, list[str]]]:
    """The brace groups that expand, from the left: start, end, alternatives."""
    for start, char in enumerate(word):
        if char != OPEN:
            continue
        depth, cuts = 0, [start]
        for at in range(start, len(word)):
            depth += (word[at] == OPEN) - (word[at] == CLOSE)
            if word[at] == COMMA and depth == 1:
                cuts.append(at)
            if depth == 0:
                inner = word[start + 1 : at]
                if len(cuts) > 1:
                    cuts.append(at)
                    yield start, at + 1, [word[a + 1 : b] for a, b in pairwise(cuts)]
                elif ".." in inner:
                    yield start, at + 1, [NAME]
                break


def _word(node: Node) -> str:
    return _unescaped(source(node))


def _unescaped(text: str) -> str:
    """An unquoted text: escaped characters are themselves, special ones are marked."""
    made, escaped = [], False
    for char in text:
        if escaped:
            made.append("" if char == "\n" else QUOTED + char)
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            made.append(_SPECIAL.get(char, char))
    return "".join(made)


def _double(text: str) -> str:
    return _IN_DOUBLE.sub(lambda found: found[1].strip("\n"), text)


def ansi(text: str) -> str:
    """The text that ``$'...'`` writes with escapes."""

    def decoded(found: re.Match[str]) -> str:
        code = found[1]
        if code[0] in "xuU" and len(code) > 1:
            number = int(code[1:], 16)
            return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else UNKNOWN
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        if code[0] == "c":
            return chr(ord(code[1:] or "@") & 0x1F)
        return _ANSI_NAMES.get(code, code)

    return _ANSI.sub(decoded, text)


def base64(text: str) -> str:
    """What base64 says; unknown if it says no text."""
    try:
        return codecs.decode(text.encode(), "base64").decode()
    except (ValueError, UnicodeError):
        return OUTPUT

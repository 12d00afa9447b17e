"""Scripts of sed and awk: what they write and run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmos_plugin_security import rules
from llmos_plugin_security.options import read
from llmos_plugin_security.values import OUTPUT, SOME, as_text, is_open

if TYPE_CHECKING:
    from llmos_plugin_security.shell import Shell

_ADDRESS = re.compile(
    r"(?:\d+(?:~\d+)?|\$|/(?:[^/\\\n]|\\.)*/[IM]*|\\(.)(?:(?!\1).)*\1[IM]*)(?:\s*,\s*[+~]?(?:\d+|\$|/(?:[^/\\\n]|\\.)*/[IM]*))?\s*!?\s*"
)


def sed(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``sed``: files edited in place, files written by ``w``, commands run by ``e``."""
    options = read(arguments, rules.profiles()["sed"]["values"])
    scripts = options.values("-e", "--expression")
    operands = options.operands
    if not scripts and not options.values("-f", "--file"):
        scripts, operands = operands[:1], operands[1:]
    for text in scripts:
        _sed_script(shell, as_text(text))
    for path in options.values("-f", "--file"):
        written = shell.scope.files.get(shell.at(path).path)
        if written is not None:
            _sed_script(shell, as_text(written))
    in_place = any(re.match(r"-[a-zA-Z]*i|--in-place", word) for word in arguments if word.startswith("-"))
    for path in operands:
        if in_place:
            shell.commands.writes(shell, path, f"sed -i {path}")
        else:
            shell.commands.reads(shell, path, path)
    return stdin if SOME in stdin and not operands and not is_open(stdin) and ".." not in str(scripts) else OUTPUT


def _sed_script(shell: Shell, text: str) -> None:  # noqa: C901 - one branch a kind of command
    if not shell.fits(text):
        return
    if is_open(text):
        if re.search(r"(?:^|[;/}\d$])\s*[ewW]\b", text):
            shell.find("undecided-code", text, "sed")
        return
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _ADDRESS.match(text, at)
        at = found.end() if found else at
        if at >= len(text):
            return
        char = text[at]
        at += 1
        line = text.find("\n", at)
        line = len(text) if line < 0 else line
        if char in "sy":
            at = _substitution(shell, text, at)
        elif char == "e":
            shell.text(text[at:line].strip() or OUTPUT, "sed runs")
            at = line
        elif char in "wW":
            shell.commands.writes(shell, text[at:line].strip(), f"sed {char}{text[at:line]}")
            at = line
        elif char in "rR":
            shell.commands.reads(shell, text[at:line].strip(), f"sed {char}{text[at:line]}")
            at = line
        elif char in "aic":
            at = line
        elif char in "btT:":
            ends = re.compile(r"[;\n}]").search(text, at)
            at = ends.start() if ends else len(text)


def _substitution(shell: Shell, text: str, at: int) -> int:
    """Where a ``s`` command ends; its flags may write and run."""
    if at >= len(text):
        return at
    mark, at, parts = text[at], at + 1, 0
    while at < len(text) and parts < 2:
        if text[at] == "\\":
            at += 1
        elif text[at] == mark:
            parts += 1
        at += 1
    while at < len(text) and text[at] in "gpiImMe0123456789 ":
        if text[at] == "e":
            shell.find("undecided-code", text, "sed runs what it reads")
        at += 1
    if at < len(text) and text[at] == "w":
        line = text.find("\n", at)
        line = len(text) if line < 0 else line
        shell.commands.writes(shell, text[at + 1 : line].strip(), f"sed s///{text[at:line]}")
        return line
    return at


_AWK_PATTERN = re.compile(r'("(?:[^"\\]|\\.)*")|(?<![\w)\]$])/(?:[^/\\\n]|\\.)+/')
_AWK_SYSTEM = re.compile(r"system\s*\(\s*(?:\"((?:[^\"\\]|\\.)*)\"\s*\))?")
_AWK_PIPE = re.compile(r"\|&?\s*(?:\"((?:[^\"\\]|\\.)*)\"|([A-Za-z_$][\w$]*))")
_AWK_GETLINE = re.compile(r"(?:\"((?:[^\"\\]|\\.)*)\"|((?<!\w)\w+|\)))\s*\|&?\s*getline")
_AWK_WRITE = re.compile(r"print(?:f)?\b[^;}\n]*?>>?\s*(?:\"((?:[^\"\\]|\\.)*)\"|\(|([$A-Za-z_][\w$]*))")
_AWK_READ = re.compile(r"getline[^;}\n]*<\s*\"((?:[^\"\\]|\\.)*)\"")


def awk(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``awk``: what its program runs, writes and reads."""
    options = read(arguments, rules.profiles()["awk"]["values"], stop=True)
    programs = options.values("-e", "--source")
    operands = options.operands
    if not programs and not options.values("-f", "--file", "-E"):
        programs, operands = operands[:1], operands[1:]
    for text in programs:
        if is_open(text) and re.search(r"system|\||getline|>", text):
            shell.find("undecided-code", text, "awk")
        else:
            _awk_program(shell, as_text(text))
    for word in operands:
        if not re.match(r"[A-Za-z_]\w*=", word):
            shell.commands.reads(shell, word, word)
        if options.has("-i") and "inplace" in options.values("-i"):
            shell.commands.writes(shell, word, f"awk -i inplace {word}")
    return OUTPUT


def _awk_program(shell: Shell, text: str) -> None:
    if not shell.fits(text):
        return
    bare = _AWK_PATTERN.sub(lambda found: found[1] or " ", text)
    for found in _AWK_SYSTEM.finditer(bare):
        shell.text(found[1].replace('\\"', '"') if found[1] is not None else OUTPUT, "awk runs")
    for pattern in (_AWK_PIPE, _AWK_GETLINE):
        for found in pattern.finditer(bare.replace("||", "")):
            if found[2] == "getline":
                continue
            given = OUTPUT if pattern is _AWK_PIPE else ""
            shell.text(found[1] if found[1] is not None else OUTPUT, "awk runs", given)
    for found in _AWK_WRITE.finditer(bare):
        if found[1] is not None:
            shell.commands.writes(shell, found[1], f"awk > {found[1]}")
    for found in _AWK_READ.finditer(bare):
        shell.commands.reads(shell, found[1], f"awk < {found[1]}")

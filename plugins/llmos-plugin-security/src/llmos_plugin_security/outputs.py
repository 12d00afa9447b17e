"""What harmless commands print, as far as it matters: it becomes the words and the input of others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmos_plugin_security import rules
from llmos_plugin_security.options import read
from llmos_plugin_security.values import (
    ENDLESS,
    NAME,
    NETWORK,
    OUTPUT,
    SECRET,
    SOME,
    STAR,
    TEMPORARY,
    UNKNOWN,
    as_text,
    is_decided,
    is_open,
)
from llmos_plugin_security.words import ansi, base64

if TYPE_CHECKING:
    from llmos_plugin_security.commands_judged import Handler
    from llmos_plugin_security.shell import Shell

_FORMAT = re.compile(r"%[-+ #0-9.*]*(?:\([^)]*\))?[a-zA-Z%]")
_MAX = 20_000


def echo(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``echo``: its words."""
    _tells(shell, name, arguments)
    flags = 0
    while flags < len(arguments) and re.fullmatch(r"-[neE]+", arguments[flags]):
        flags += 1
    escapes = any("e" in flag for flag in arguments[:flags])
    text = " ".join(arguments[flags:])
    end = "" if any("n" in flag for flag in arguments[:flags]) else "\n"
    return (ansi(text) if escapes else text) + end


def _tells(shell: Shell, name: str, arguments: list[str]) -> None:
    for word in arguments:
        if SECRET in word:
            shell.find("print-secret-variable", f"{name} {word}")


def printf(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``printf``: its format, filled."""
    _tells(shell, name, arguments)
    if arguments[:1] == ["-v"] and len(arguments) > 2:
        shell.assign(arguments[1], _filled(arguments[2], arguments[3:]))
        return ""
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    return _filled(arguments[0], arguments[1:]) if arguments else ""


def _filled(form: str, values: list[str]) -> str:
    form = ansi(as_text(form))
    waiting, made = list(values), ""
    while True:

        def fill(found: re.Match[str]) -> str:
            kind = found.group()[-1]
            if kind == "%":
                return "%"
            value = waiting.pop(0) if waiting else ""
            if found.group() not in {"%s", "%b"}:
                return (
                    value if kind in "sb" and not found.group().startswith("%.") else NAME if kind in "di" else OUTPUT
                )
            return ansi(value) if kind == "b" else value

        before = len(waiting)
        made += _FORMAT.sub(fill, form)
        if not waiting or len(waiting) == before or len(made) > _MAX:
            return made


def cat(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``cat`` and what passes its input on: the input, or what the command has written itself."""
    shell.commands.by_profile(shell, name, arguments)
    operands = [operand for operand in read(arguments, ("-n", "-c")).operands if operand != "-"]
    if any(shell.at(path).path in {"/dev/zero", "/dev/urandom", "/dev/random"} for path in operands) and name == "cat":
        return ENDLESS
    texts = [shell.scope.files.get(shell.at(path).path, OUTPUT) for path in operands]
    if not operands:
        texts = [stdin]
    return "".join(texts) if name == "cat" else _derived("".join(texts))


def tee(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``tee``: its input, which its files then hold too."""
    shell.commands.by_profile(shell, name, arguments)
    for path in read(arguments).operands:
        shell.scope.files[shell.at(path).path] = stdin
    return stdin


def _derived(text: str) -> str:
    """What a filter leaves of its input: of names, names; of the rest nothing is known."""
    if NETWORK in text:
        return NETWORK
    lines = text.split()
    if lines and all(_found(line) for line in lines):
        return text
    return OUTPUT


def _found(line: str) -> bool:
    return any(mark in line for mark in (SOME, STAR)) and not is_open(line)


def filtered(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``head``, ``sort``, ``grep`` and the like: of a list of found files they leave such a list."""
    shell.commands.by_profile(shell, name, arguments)
    if name in {"grep", "egrep", "fgrep", "rg", "ag", "ack"}:
        options = read(arguments, ("-e", "-f", "-m", "-A", "-B", "-C", "-g", "-t", "--include", "--exclude"))
        if options.has("-l", "-L", "--files-with-matches", "--files-without-match", "--files"):
            first = 0 if options.has("-e", "-f", "--files") else 1
            if options.operands[first:] or not stdin:
                return _names(options.operands[first:] or ["."])
        if not options.operands[1:]:
            # What was found and passes one more test is no longer all of it.
            return _derived(stdin).replace(STAR, SOME)
        return OUTPUT
    if name in {"head", "tail"} and stdin and not read(arguments, ("-n", "-c")).operands:
        return _derived(stdin).replace(STAR, SOME)
    return _derived(stdin) if stdin else OUTPUT


def _names(roots: Iterable[str]) -> str:
    return "".join(f"{root.rstrip('/') or '/'}/{SOME}\n".replace("//", "/") for root in roots)


def decoded(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``base64``: what it decodes, if that is known."""
    shell.commands.by_profile(shell, name, arguments)
    options = read(arguments, ("-w", "--wrap"))
    if options.has("-d", "-D", "--decode") and not options.operands and is_decided(stdin):
        return base64(stdin)
    return NETWORK if NETWORK in stdin else OUTPUT


def reversed_text(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``rev``: every line from its end."""
    shell.commands.by_profile(shell, name, arguments)
    if arguments or not is_decided(stdin):
        return _derived(stdin)
    return "\n".join(line[::-1] for line in stdin.split("\n"))


def temporary(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``mktemp``: a path in the run's own directory for temporary files, or where it is told."""
    options = read(arguments, ("-p", "--tmpdir", "--suffix"))
    made = f"/{TEMPORARY}/{NAME}"
    for template in options.operands:
        parent = next(iter(options.values("-p", "--tmpdir")), f"/{TEMPORARY}" if options.has("-t", "--tmpdir") else "")
        made = re.sub("X{3,}", NAME, f"{parent}/{template}" if parent else template)
        shell.commands.writes(shell, made, f"mktemp {template}")
    shell.commands.by_profile(shell, name, arguments)
    return f"{made}\n"


def directory(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``pwd``."""
    return shell.directory + "\n"


def path_part(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``basename``, ``dirname``, ``realpath``."""
    operands = read(arguments, ("-s",)).operands
    if not operands or name == "basename":
        return f"{NAME}\n"
    if name == "dirname":
        return (operands[0].rstrip("/").rpartition("/")[0] or ("/" if operands[0].startswith("/") else ".")) + "\n"
    return operands[0] + "\n"


def found_program(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``which NAME``: a path that ends in the name."""
    names = read(arguments).operands
    return "".join(f"/usr/bin/{one}\n" if is_decided(one) else f"{UNKNOWN}\n" for one in names)


def a_name(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """What prints numbers, dates and other words without a slash."""
    shell.commands.by_profile(shell, name, arguments)
    return f"{NAME}\n"


def listed(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``ls``, ``stat`` and the like: names of the directory, or what they are given."""
    shell.commands.by_profile(shell, name, arguments)
    operands = read(arguments, rules.profiles()[name]["values"]).operands
    if not operands or all(shell.at(path).path == shell.directory for path in operands):
        return f"{STAR}\n"
    # Whoever reads what is listed reads a secret, if one was.
    return "\n".join([*(path for path in operands if shell.at(path).closed), OUTPUT])


def endless(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``yes``."""
    return ENDLESS


def processes(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``pgrep``: processes of anybody."""
    return f"{UNKNOWN}\n"


HANDLERS: dict[str, Handler] = {
    "yes": endless,
    **dict.fromkeys(("pgrep", "pidof"), processes),
    "echo": echo,
    "printf": printf,
    "cat": cat,
    "tac": cat,
    "tee": tee,
    "sponge": tee,
    "pwd": directory,
    "base64": decoded,
    "rev": reversed_text,
    "dirname": path_part,
    "basename": path_part,
    "realpath": path_part,
    "readlink": path_part,
    "which": found_program,
    "mktemp": temporary,
    **dict.fromkeys(("ls", "dir", "vdir", "tree", "exa", "eza", "lsd", "stat", "namei"), listed),
    **dict.fromkeys(("head", "tail", "uniq", "grep", "egrep", "fgrep", "rg", "ag", "ack", "zgrep"), filtered),
    **dict.fromkeys(("date", "seq", "wc", "nproc", "expr", "bc"), a_name),
}

"""What the shell does itself: directories, variables, arguments, aliases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmos_plugin_security.options import read
from llmos_plugin_security.values import NAME, OUTPUT, UNKNOWN, is_open

if TYPE_CHECKING:
    from llmos_plugin_security.commands_judged import Handler
    from llmos_plugin_security.shell import Shell


def directory(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``cd``: where later words are seen from."""
    operands = read(arguments).operands
    target = operands[0] if operands else shell.home if name == "cd" else UNKNOWN
    if target == "-" or name == "popd":
        shell.scope.directory = UNKNOWN
        return ""
    place = shell.at(target)
    shell.scope.directory = UNKNOWN if place.kind == "unknown" or is_open(place.path) else place.path
    return ""


def set_arguments(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``set``: new arguments after ``--``, or after its options."""
    if "--" in arguments:
        shell.scope.arguments = arguments[arguments.index("--") + 1 :]
    elif words := [word for word in arguments if not word.startswith(("-", "+"))]:
        shell.scope.arguments = words if arguments[0] not in {"-o", "+o"} else words[1:]
    return ""


def shift(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``shift``."""
    count = int(arguments[0]) if arguments and arguments[0].isdigit() else 1
    shell.scope.arguments = shell.scope.arguments[count:]
    return ""


def read_line(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``read``: variables from the input."""
    names = read(arguments, ("-d", "-n", "-N", "-p", "-t", "-u", "-i", "-C", "-c", "-O", "-s")).operands or ["REPLY"]
    for callback in read(arguments, ("-C", "-c", "-n", "-O", "-s", "-u", "-d")).values("-C"):
        if name != "read":
            shell.text(callback, name)
    words = stdin.split()
    for at, variable in enumerate(names):
        one = words if len(words) == 1 else [word for word in words if shell.at(word).closed]
        shell.scope.variables[variable] = one[0] if one and at == 0 else OUTPUT if stdin else UNKNOWN
        if name != "read":
            shell.scope.arrays[variable] = words or [UNKNOWN]
    return ""


def alias(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``alias``: its text is judged as what it will be."""
    for word in arguments:
        key, equals, text = word.partition("=")
        if equals:
            shell.scope.aliases[key] = text
    return ""


def declare(shell: Shell, name: str, arguments: list[str], stdin: str) -> str:
    """``export NAME=value`` where it was not read as an assignment."""
    for word in arguments:
        variable, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", variable):
            shell.assign(variable, value)
    return f"{NAME}\n"


HANDLERS: dict[str, Handler] = {
    "cd": directory,
    "pushd": directory,
    "popd": directory,
    "set": set_arguments,
    "shift": shift,
    **dict.fromkeys(("read", "mapfile", "readarray"), read_line),
    "alias": alias,
    **dict.fromkeys(("export", "declare", "typeset", "local", "readonly"), declare),
}

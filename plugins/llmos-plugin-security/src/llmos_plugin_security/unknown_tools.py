"""Tools that nobody described, of MCP servers and of other plugins: what the names of their arguments say."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from llmos_plugin_security.addresses import is_metadata
from llmos_plugin_security.places import World
from llmos_plugin_security.scope import Exhausted, Finding
from llmos_plugin_security.values import shown

MAX_DEPTH = 32
MAX_VALUES = 20_000
MAX_COMMANDS = 20
_COMMANDS = {"command", "cmd", "commandline", "shellcommand", "bashcommand", "bash", "shell"}
_WORDS = ("args", "arguments", "argv")
_CODES = {"code", "pythoncode", "python", "javascript"}
_PATHS = re.compile(
    r"(?:.*(?:path|paths|file|files|filename|filenames|dir|dirs|directory|directories|folder|folders|cwd|workdir)"
    r"|root|source|sources|src|dest|destination|target|output|uri)"
)
_NODE = re.compile(r"\brequire\s*\(|\b(?:process|Deno|Bun)\.")
_LOOKS = re.compile(r"(?:/|~/|\.\.?/|file://)[^\s<>]{0,1023}")


def commands(input: Mapping[str, Any]) -> list[str]:
    """The shell commands among the arguments, code as the command that would run it. Raises Exhausted for too many."""
    found = list(_commands(input))
    if len(found) > MAX_COMMANDS:
        raise Exhausted(f"{len(found):,} commands in one call")
    return found


def _commands(input: Mapping[str, Any]) -> Iterator[str]:
    for holder, key, value in _values(input):
        words = [value] if isinstance(value, str) else value if _are_texts(value) else []
        if not words:
            continue
        if key in _COMMANDS:
            more: list[str] = next((holder[name] for name in _WORDS if _are_texts(holder.get(name))), [])
            yield " ".join([words[0] if isinstance(value, str) else shlex.join(words), shlex.join(more)]).strip()
        elif key in _CODES and isinstance(value, str):
            yield shlex.join(["python3", "-c", value] if _is_python(value) else ["node", "-e", value])


def findings(tool: str, input: Mapping[str, Any], world: World) -> list[Finding]:
    """What speaks against the paths and addresses among the arguments. Raises Exhausted for too many."""
    found: list[Finding] = []
    for _, key, value in _values(input):
        for text in [value] if isinstance(value, str) else value if _are_texts(value) else []:
            named = _PATHS.fullmatch(key) is not None and "\n" not in text and 0 < len(text) < 4096
            if named or _LOOKS.fullmatch(text):
                found += _path(tool, text, world, named=named)
            elif len(text) < 2048 and "://" in text and is_metadata(text):
                found.append(Finding("metadata", f"{tool} {text}", (tool,)))
    return found


def _path(tool: str, text: str, world: World, *, named: bool) -> list[Finding]:
    """Where an argument leads. ``named`` ones are paths by their names; others only look like one."""
    if "://" in text and not text.startswith("file://"):
        return [Finding("metadata", f"{tool} {text}", (tool,))] if is_metadata(text) else []
    path = text.removeprefix("file://")
    place = world.at(world.home + path[1:] if path == "~" or path.startswith("~/") else path, world.root)
    rule = {"control": "write-control", "device": "device"}.get(place.kind)
    if place.closed == "secret":
        rule = "read-secret"
    elif world.is_git(place.path):
        rule = rule or ("tool-outside" if named else None)
    elif place.closed == "project" and named:
        rule = rule or "read-project-secret"
    elif named and place.kind not in {"inside", "everything", "harmless", "scratch"} and place.path != world.real_root:
        rule = rule or "tool-outside"
    return [Finding(rule, shown(f"{tool} {text}"), (tool,), place.path)] if rule else []


def _values(given: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str, Any]]:
    """All arguments at any depth: what holds them, their names without dashes, and they."""
    count = 0
    waiting: list[tuple[object, int]] = [(given, 0)]
    while waiting:
        value, depth = waiting.pop()
        parts = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
        count += len(parts)
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise Exhausted("too many arguments within arguments")
        waiting.extend((one, depth + 1) for one in parts)
        if isinstance(value, Mapping):
            for name, one in value.items():
                yield value, re.sub(r"[_-]", "", str(name)).casefold(), one


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, str) for one in value)


def _is_python(text: str) -> bool:
    if _NODE.search(text):
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True

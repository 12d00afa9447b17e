"""Tools that take paths: what they may read and write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmos_plugin_security import effects
from llmos_plugin_security.addresses import host_of, is_private
from llmos_plugin_security.places import World
from llmos_plugin_security.scope import Finding

_WRITERS = {"Write", "Edit", "MultiEdit", "NotebookEdit"}
_READERS = {"Read", "NotebookRead"}
_SEARCHERS = {"Glob", "Grep", "LS"}
_FETCHERS = {"WebFetch", "WebSearch"}
_PATHS = ("file_path", "notebook_path", "path", "directory", "dir", "filename")
_SHARED = ("/usr", "/lib", "/lib64", "/opt", "/nix")


def is_known(tool: str) -> bool:
    """Whether the guard knows what a tool does with its arguments."""
    return tool in {"Bash", *_WRITERS, *_READERS, *_SEARCHERS, *_FETCHERS}


def judge_tool(tool: str, input: Mapping[str, Any], world: World) -> list[Finding] | None:
    """What speaks against a call; None for a tool that is not known here."""
    if tool in _WRITERS:
        return _paths(tool, input, world, writes=True)
    if tool in _READERS or tool in _SEARCHERS:
        found = _paths(tool, input, world, writes=False)
        pattern = input.get("pattern") if tool == "Glob" else input.get("glob") if tool == "Grep" else None
        base = input.get("path")
        if isinstance(pattern, str):
            found += _read(tool, _joined(base, pattern), world)
        return found
    if tool in _FETCHERS:
        return _address(tool, input.get("url"))
    return None


def _joined(base: object, pattern: str) -> str:
    fixed = re.split(r"[*?\[{]", pattern)[0].rpartition("/")[0] if re.search(r"[*?\[{]", pattern) else pattern
    if pattern.startswith(("/", "~")) or not isinstance(base, str):
        return fixed or "."
    return f"{base}/{fixed}"


def _paths(tool: str, input: Mapping[str, Any], world: World, *, writes: bool) -> list[Finding]:
    found: list[Finding] = []
    seen = False
    for key in _PATHS:
        if key not in input or input[key] is None:
            continue
        seen = True
        path = input[key]
        if not isinstance(path, str):
            found.append(Finding("unparseable", f"{key} is no text", (tool,)))
        else:
            found += _write(tool, path, world) if writes else _read(tool, path, world)
    if not seen and writes:
        found.append(Finding("write-unknown", f"{tool} names no file", (tool,)))
    return found


def _expanded(path: str, world: World) -> str | None:
    """None for what is no path."""
    if "\0" in path or not path:
        return None
    if path == "~" or path.startswith("~/"):
        return world.home + path[1:]
    return path


def _write(tool: str, given: str, world: World) -> list[Finding]:
    path = _expanded(given, world)
    if path is None:
        return [Finding("write-unknown", f"{tool} {given!r}", (tool,), "it is no path")]
    place = world.at(path, world.root)
    if place.kind in {"inside", "everything"}:
        against = "write-control" if world.is_git(place.path) else effects.against_writing(world, place)
        return [Finding(against, f"{tool} {given}", (tool,), place.path)] if against else []
    rule = {"control": "write-control", "device": "device", "unknown": "write-unknown"}.get(place.kind, "write-outside")
    return [Finding(rule, f"{tool} {given}", (tool,), effects.told(world, place))]


def _read(tool: str, given: str, world: World) -> list[Finding]:
    path = _expanded(given, world)
    if path is None:
        return []
    place = world.at(path, world.root)
    if place.closed == "secret":
        return [Finding("read-secret", f"{tool} {given}", (tool,), place.path)]
    if place.closed == "project" and tool not in _SEARCHERS:
        return [Finding("read-project-secret", f"{tool} {given}", (tool,), place.path)]
    if place.kind == "device":
        return [Finding("device", f"{tool} {given}", (tool,), place.path)]
    if _readable(place.path, world):
        return []
    return [Finding("read-outside", f"{tool} {given}", (tool,), place.path)]


def _readable(path: str, world: World) -> bool:
    below = [world.real_root, *world.write, *_SHARED]
    if world.workspace is not None:
        workspace = world.resolve(world.workspace) or world.workspace
        if any(path == at or path.startswith(f"{at}/") for at in (f"{workspace}/memories", f"{workspace}/state")):
            return path == world.real_root or path.startswith(f"{world.real_root}/")
        below.append(workspace)
    return any(path == at or path.startswith(f"{at}/") for at in below)


def _address(tool: str, url: object) -> list[Finding]:
    """An address within one's own network, or on this machine, is asked about."""
    if url is None:
        return []
    if not isinstance(url, str):
        return [Finding("unparseable", "url is no text", (tool,))]
    try:
        scheme, host = urlsplit(url if "://" in url else f"//{url}").scheme, host_of(url)
    except ValueError:
        return [Finding("private-address", url, (tool,), "it is no address")]
    if scheme not in {"", "http", "https"} or not host or is_private(host):
        return [Finding("private-address", url, (tool,))]
    return []

"""What a path is: inside the writable root, a secret, what rules the agent, a device, or just outside."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

from llmos_plugin_security.values import ANY, SOME, STAR, TEMPORARY, is_decided, is_open

Kind = Literal[
    "inside", "root", "everything", "control", "device", "harmless", "scratch", "temporary", "outside", "unknown"
]  # fmt: skip
"""``root`` is the writable root itself or what holds it, ``everything`` all that lies in the root, ``scratch`` what has
a known name in a directory for temporary files, ``temporary`` that directory itself or what else lies in it."""

_MAX_LINKS = 40
_MAX_PATH = 4096
_WILD = re.compile(f"[{STAR}{ANY}{SOME}]")
_ALL = {STAR, SOME + STAR, f".{STAR}", f"{STAR}/{STAR}"}
"""All that lies in a directory."""
_OF_GIT = ("hooks", "config", "attributes", "config.worktree", "x/hooks", "x/config.worktree")
_METADATA = ("*.dist-info", "*.egg-info")


@cache
def table() -> dict[str, Any]:
    """What ``places.toml`` says."""
    return tomllib.loads(files("llmos_plugin_security").joinpath("places.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Place:
    """Where a path leads, resolved, and what is there."""

    path: str
    kind: Kind
    closed: Literal["", "secret", "project"] = ""
    """Whether it must not be read: nowhere, or (``project``) without a question."""

    @property
    def is_shared(self) -> bool:
        """Whether it lies where anybody may put files."""
        return self.kind in {"temporary", "scratch"} and TEMPORARY not in self.path


@dataclass(frozen=True)
class World:
    """The directories that judging is about. All paths are absolute; ``links`` are symbolic links to be imagined."""

    root: str
    home: str
    workspace: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    own: Sequence[str] = ()
    """Further directories of LLM OS: the user's settings, data and cache."""
    write: Sequence[str] = ()
    """Further places that may be written. Where one leads through a symbolic link, nothing lies in it."""
    real: bool = True
    """Whether symbolic links of the file system are followed."""

    def at(self, path: str, directory: str) -> Place:
        """The place of a path as a program in that directory sees it."""
        if len(path) > _MAX_PATH:
            return Place(path[:_MAX_PATH], "unknown")
        if not path.startswith("/"):
            if is_open(directory):
                return Place(path, "unknown")
            path = f"{directory}/{path}"
        head, tail = _decided(path)
        if tail and not _WILD.match(tail[0]) and is_open(tail):
            return self._undecided(head, path)
        real = self.resolve(head)
        if real is None:
            return Place(path, "unknown")
        for part in filter(None, tail.split("/")):
            real = os.path.dirname(real) if part == ".." else real if part == "." else f"{real.rstrip('/')}/{part}"  # noqa: PTH120
            if is_open(part):
                return self._undecided(real, path)
        return Place(real, self._kind(real), self._secret(real))

    def _undecided(self, head: str, path: str) -> Place:
        """A path that ends in anything: what its known beginning says, if that lies outside."""
        real = self.resolve(head.rpartition("/")[0] if not head.endswith("/") else head) or "/"
        given = any(_below(real, at) for at in self.write)
        if given or head in {"", "/"} or _below(self.real_root, real) or _below(real, self.real_root):
            return Place(path, "unknown")
        kind = self._kind(real)
        tail = path[len(head) :].lstrip("/")
        return Place(path, "outside" if kind in {"inside", "root"} else kind, self._secret(f"{real}/{tail}"))

    def resolve(self, path: str) -> str | None:
        """The path with ``.``, ``..`` and symbolic links resolved; None where they turn in circles."""
        done, waiting, links = "", path.split("/")[::-1], 0
        while waiting:
            part = waiting.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            done = f"{done}/{part}"
            target = self._target(done)
            if target is not None:
                links += 1
                if links > _MAX_LINKS:
                    return None
                done = "" if target.startswith("/") else done.rpartition("/")[0]
                waiting.extend(target.split("/")[::-1])
        return done or "/"

    def _target(self, path: str) -> str | None:
        if path in self.links:
            return self.links[path]
        # /proc and /dev/fd lead where the reading process is, not where the judged command will be: they stay names.
        if not self.real or path.startswith(("/proc/", "/dev/")):
            return None
        try:
            return os.readlink(path)  # noqa: PTH115 - texts: this is asked for every component
        except (OSError, ValueError):
            return None

    @property
    def real_root(self) -> str:
        """The writable root, resolved."""
        return _resolved(self, self.root)

    def _kind(self, path: str) -> Kind:
        root = self.real_root
        if path == root or _below(root, path):
            return "root"
        if _below(path, "/dev") and not any(_below(path, at) for at in table()["temporary"]["absolute"]):
            return "harmless" if _any(path, table()["device"]["harmless"]) else "device"
        if self._is_control(path, root):
            return "control"
        if _below(path, root):
            rest = path[len(root.rstrip("/")) + 1 :]
            return "everything" if rest in _ALL else "inside"
        given = next((at for at in self.write if _below(path, at)), None)
        if given is not None and not self._secret(path):
            return "everything" if path[len(given.rstrip("/")) + 1 :] in {"", *_ALL} else "inside"
        return self._temporary(path, root)

    def _temporary(self, path: str, root: str) -> Kind:
        own = f"/{TEMPORARY}"
        parent = next((at for at in (own, *table()["temporary"]["absolute"]) if _below(path, at)), None)
        kept = [_resolved(self, at) for at in (self.home, self.workspace) if at is not None and at != self.root]
        if parent is None or any(_below(path, at) or _below(at, path) for at in kept):
            return "outside"
        # Where the project itself lies there, so do others.
        named = path != parent and not _WILD.match(path[len(parent) + 1]) and not _below(root, parent)
        return "scratch" if named else "temporary"

    def _is_control(self, path: str, root: str) -> bool:
        names = table()["control"]
        inner = path[len(root.rstrip("/")) :] if _below(path, root) else path
        if _named(inner, names["names"]) or any(_below(path, directory) for directory in self.own):
            return True
        if not _below(path, root) and (_any(path, names["absolute"]) or self._at_home(path, names["home"])):
            return True
        if self.workspace is None:
            return False
        workspace = _resolved(self, self.workspace)
        sealed = [f"{workspace}/{name}" for name in names["workspace"]]
        # A scratch copy may itself lie below a sealed directory: inside it, its own rule holds.
        return _any(path, sealed) and not (_any(root, sealed) and _below(path, root))

    def _secret(self, path: str) -> Literal["", "secret", "project"]:
        names = table()["secret"]
        inside = _below(path, self.real_root)
        inner = path[len(self.real_root.rstrip("/")) :] if inside else path
        if _named(inner, names["names"]):
            return "" if inside and path.endswith(".pub") else "secret"
        if not inside and (_any(path, names["absolute"]) or self._at_home(path, names["home"])):
            return "" if path.endswith((".pub", "/known_hosts")) else "secret"
        if not inside and _any(path, names["homes"]) and not _below(path, _resolved(self, self.home)):
            return "secret"
        if not inside and any(_below(path, directory) for directory in self.own):
            return "secret"
        last = path.rpartition("/")[2]
        if SOME in last or last == STAR:
            return ""
        if _fits(last, names["project"]) and not any(fnmatchcase(last, name) for name in names["not_project"]):
            return "project" if inside else "secret"
        return ""

    def is_git(self, path: str) -> bool:
        """Whether a path is the repository's own directory, or below it, or its wildcards may name that."""
        return any(
            _below(path, at) and _any(path[len(at.rstrip("/")) :], (".git",)) for at in (self.real_root, *self.write)
        )

    def holds_hooks(self, path: str) -> bool:
        """Whether what comes into a directory may become the repository's hooks or settings."""
        return self.is_git(path) and any(self._is_control(f"{path}/{name}", self.real_root) for name in _OF_GIT)

    def is_package(self, path: str) -> bool:
        """Whether a path belongs to the metadata of a Python package."""
        return _named(path[len(self.real_root.rstrip("/")) :] if _below(path, self.real_root) else path, _METADATA)

    def is_in_temporary(self, path: str) -> bool:
        """Whether a path lies in a directory for temporary files that all users share, or is one."""
        return any(_below(path, at) for at in table()["temporary"]["absolute"])

    def is_beside(self, path: str) -> bool:
        """Whether a path lies in the directory for temporary files in which the project lies too."""
        return any(_below(path, at) and _below(self.real_root, at) for at in table()["temporary"]["absolute"])

    def is_at_home(self, path: str) -> bool:
        """Whether a path lies below the user's home."""
        home = _resolved(self, self.home)
        return path != home and _below(path, home)

    def holds_secrets(self, path: str) -> bool:
        """Whether secrets lie somewhere below a directory, which is then not read as a whole."""
        path = path.replace(STAR, "").replace(SOME, "").rstrip("/") or "/"
        homes = [_resolved(self, self.home), "/home/user", "/root", "/etc/ssh", "/proc/self"]
        home = _resolved(self, self.home)
        homes += [f"{home}/{name}" for name in table()["secret"]["home"] if "*" not in name]
        return not _below(path, self.real_root) and any(_below(at, path) for at in homes)

    def _at_home(self, path: str, patterns: Sequence[str]) -> bool:
        parts = path.split("/")
        homes = {_resolved(self, self.home), self.home, "/root"}
        if len(parts) > 3 and parts[1] in {"home", "Users"}:
            homes.add("/".join(parts[:3]))
        return any(_any(path[len(home) + 1 :], patterns) for home in homes if _below(path, home) and path != home)


@lru_cache(maxsize=256)
def _resolved_for(root: str, real: bool) -> str:
    return os.path.realpath(root) if real else os.path.normpath(root)


def _resolved(world: World, path: str) -> str:
    return _resolved_for(path, world.real)


def _decided(path: str) -> tuple[str, str]:
    """The part of a path before the component that is not known to the last character, and the rest."""
    if is_decided(path):
        return path, ""
    parts = path.split("/")
    at = next(n for n, part in enumerate(parts) if not is_decided(part))
    return "/".join(parts[:at]) + "/", "/".join(parts[at:])


def _below(path: str, directory: str) -> bool:
    return directory in {path, "/"} or path.startswith(f"{directory}/")


class _Patterns:
    """Patterns of components, found by their first one."""

    def __init__(self, patterns: Sequence[str]) -> None:
        split = [pattern.strip("/").split("/") for pattern in patterns]
        self.all = split
        self.wild = [pattern for pattern in split if "*" in pattern[0]]
        self.first: dict[str, list[list[str]]] = {}
        for pattern in split:
            if "*" not in pattern[0]:
                self.first.setdefault(pattern[0].casefold(), []).append(pattern)

    def start(self, parts: Sequence[str]) -> bool:
        """Whether the components are one of the patterns, or below it."""
        if not parts:
            return False
        known = is_decided(parts[0])
        likely = [*self.first.get(parts[0].casefold(), ()), *self.wild] if known else self.all
        return any(len(parts) >= len(pattern) and all(map(_could_be, parts, pattern)) for pattern in likely)


@lru_cache(maxsize=256)
def _patterns(patterns: tuple[str, ...]) -> _Patterns:
    return _Patterns(patterns)


def _is_vague(part: str) -> bool:
    return not is_decided(part) and not part.startswith(".") and len(re.findall(r"\w", part)) < 3


def _any(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is one of the patterns, or below it."""
    return _patterns(tuple(patterns)).start(path.strip("/").split("/"))


def _named(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path has the pattern's components anywhere, one after another."""
    parts, known = path.strip("/").split("/"), _patterns(tuple(patterns))
    # `a*` anywhere is hardly meant for `authorized_keys`.
    parts = ["" if _is_vague(part) else part for part in parts]
    return any(known.start(parts[at:]) for at in range(len(parts)))


@lru_cache(maxsize=65536)
def _could_be(part: str, pattern: str) -> bool:
    """Whether a component is, or with its wildcards may be, what a pattern names. Case does not count."""
    part, pattern = part.casefold(), pattern.casefold()
    if pattern in {part, "*"}:
        return True
    if is_decided(part):
        return part == pattern or ("*" in pattern and fnmatchcase(part, pattern))
    if SOME in part or part.startswith(f"{STAR}.") or (part.startswith((STAR, ANY)) and pattern.startswith(".")):
        return False
    if not re.search(r"\w", part):
        return part.startswith(".")  # a wildcard alone names nothing in particular
    # The mark of `[...]` is the one of `?`, with what stood in the brackets behind it.
    return any(
        re.fullmatch("".join(map(_shape, one)), pattern.replace("*", ""))
        for one in {part, re.sub(f"{ANY}\\]?[^\\]]*\\]", ANY, part)}
    )


def _shape(char: str) -> str:
    return "." if char == ANY else ".*" if char == STAR or is_open(char) else re.escape(char)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)

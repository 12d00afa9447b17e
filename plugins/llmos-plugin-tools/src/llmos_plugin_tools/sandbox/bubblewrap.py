"""Bubblewrap: namespaces in which only the places named are there at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from llmos_plugin_tools.sandbox import FILTER_FD

_APART = ("user", "pid", "ipc", "uts")


def wrapped(
    program: str, command: Sequence[str], *, read: Mapping[str, str], write: Iterable[str], cwd: Path, network: bool
) -> list[str]:
    """The command as bubblewrap's: places to read, with where each leads, and on top of them those to write."""
    arguments = [program, "--die-with-parent", "--cap-drop", "ALL", *(f"--unshare-{name}" for name in _APART)]
    arguments += ["--unshare-cgroup-try", *([] if network else ["--unshare-net"])]
    arguments += ["--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"]  # noqa: S108 - in the namespace
    for place in sorted(set(read) - {"/proc"}, key=_depth):
        arguments += _shown(place, read[place])
    for place in sorted(write, key=_depth):
        arguments += ["--bind", place, place]
    return [*arguments, "--chdir", str(cwd), "--seccomp", str(FILTER_FD), "--", *command]


def _shown(place: str, leads_to: str) -> list[str]:
    """A link at the root (``/bin``) stays one; elsewhere what it leads to is shown in its place."""
    path = Path(place)
    if path.is_symlink() and path.parent == Path("/"):
        return ["--symlink", os.readlink(place), place]  # noqa: PTH115 - text
    return ["--ro-bind", leads_to, place]


def _depth(place: str) -> int:
    return place.rstrip("/").count("/")

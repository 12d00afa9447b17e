"""A command and what it may reach, as the supervisor starts it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos_plugin_tools.sandbox.bubblewrap import wrapped
from llmos_plugin_tools.sandbox.places import DEVICES
from llmos_plugin_tools.sandbox.runner import Confined


@dataclass(frozen=True, slots=True)
class Bounds:
    """The places that a command may read, those it may write, and whether it reaches the network.

    ``read`` says of each where it leads, as it was judged: what is put in its place later is not read. ``write`` are
    resolved paths.
    """

    read: dict[str, str]
    write: list[str]
    network: bool


def confine(kind: str, command: Sequence[str], bounds: Bounds, cwd: Path) -> tuple[Confined, Sequence[str]]:
    """How the supervisor shall confine the command, and the command. Raises FileNotFoundError without bubblewrap.

    The kinds of sockets that it can make are never those of the file system: whoever listens there may reach further
    than the command. Without a network bubblewrap gives it one of its own, with nobody else in it.
    """
    from llmos_plugin_tools.sandbox import seccomp

    if kind == "bubblewrap":
        program = shutil.which("bwrap")
        if program is None:
            raise FileNotFoundError(2, "bwrap is not installed")
        command = wrapped(program, command, read=bounds.read, write=bounds.write, cwd=cwd, network=bounds.network)
    families = list(seccomp.INTERNET) if kind == "bubblewrap" or bounds.network else []
    devices = list(map(os.path.realpath, DEVICES))
    return Confined(kind, list(bounds.read.values()), bounds.write, devices, bounds.network, families), command

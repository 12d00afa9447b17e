"""Which sandbox works here: found by trying to write outside, once for a process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from llmos_plugin_tools.process import Finished
from llmos_plugin_tools.sandbox.confine import Bounds, confine
from llmos_plugin_tools.sandbox.runner import Supervisor

_TRIAL = 'echo out >"$1/outside/file"; echo in >"$1/inside/file"; cat "$1/outside/secret"; true'
_PATIENCE_S = 10.0
_ENOUGH = 3
"""The first version of Landlock that keeps files from being cut short."""

_COMPLETE = 6
"""The first that keeps signals from what is outside."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The sandbox that is used, or None with the reasons why there is none. ``gaps``: what it cannot keep out."""

    kind: str | None
    why: str = ""
    gaps: tuple[str, ...] = ()


_chosen: dict[str, Choice] = {}


async def choose(supervisor: Supervisor) -> Choice:
    """The sandbox for commands by the user's settings. What works is tried out once; what did not, may later."""
    wish = supervisor.settings.kind
    choice = _chosen.get(wish) or await _try_all(supervisor)
    if choice.kind is not None:
        _chosen[wish] = choice
    return choice


async def _try_all(supervisor: Supervisor) -> Choice:
    wish = supervisor.settings.kind
    if wish == "none":
        return Choice("none", "the settings say so")
    faults = []
    for kind in _order() if wish == "auto" else (wish,):
        fault = await _fault(kind, supervisor)
        if fault is None:
            return Choice(kind, gaps=_gaps(kind))
        faults.append(f"{kind}: {fault}")
    return Choice(None, "; ".join(faults))


def _order() -> tuple[str, ...]:
    from llmos_plugin_tools.sandbox import landlock

    # An old Landlock leaves gaps that namespaces do not have; a new one is as tight, and several times quicker.
    return ("landlock", "bubblewrap") if landlock.abi() >= _COMPLETE else ("bubblewrap", "landlock")


def _gaps(kind: str) -> tuple[str, ...]:
    from llmos_plugin_tools.sandbox import landlock

    if kind == "landlock" and landlock.abi() < _COMPLETE:
        return ("commands can send signals to your other processes (Linux 6.12 or bubblewrap would keep them in)",)
    return ()


async def _fault(kind: str, supervisor: Supervisor) -> str | None:
    """Why a sandbox cannot be used; None if it let nothing out and did not hinder what is allowed."""
    if kind == "landlock" and (fault := _no_landlock()):
        return fault
    place = supervisor.own / "probe"  # what is killed in the middle leaves nothing either
    await to_thread.run_sync(_stage, place)
    reader, writer = os.pipe()
    try:
        bounds = Bounds(_read(), [str(place / "inside")], network=True)
        confined, command = confine(kind, ["/bin/bash", "-c", _TRIAL, "bash", str(place)], bounds, place / "inside")
        finished = await supervisor.run(
            command,
            confined,
            cwd=place / "inside",
            env={"PATH": os.defpath},
            timeout_s=_PATIENCE_S,
            keep=2000,
            report=writer,
        )
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(reader)
        os.close(writer)
        outcome = await to_thread.run_sync(_clear, place)
    return _judged(finished, *outcome)


def _no_landlock() -> str | None:
    from llmos_plugin_tools.sandbox import landlock
    from llmos_plugin_tools.sandbox.syscalls import SYSCALLS

    if not SYSCALLS:
        return f"not known on {os.uname().machine}"
    version = landlock.abi()
    if version < _ENOUGH:
        return (
            f"this kernel has version {version} of it, and {_ENOUGH} is needed (Linux 6.2)"
            if version
            else ("this kernel has none")
        )
    return None


def _read() -> dict[str, str]:
    return {name: os.path.realpath(name) for name in ("/usr", "/bin", "/lib", "/lib64", "/proc")}


def _stage(place: Path) -> None:
    for name in ("inside", "outside"):
        (place / name).mkdir(parents=True)
    (place / "outside/secret").write_text("secret")


def _clear(place: Path) -> tuple[bool, bool]:
    """Remove what was staged; whether the command wrote inside, and outside."""
    import shutil

    wrote = (place / "inside/file").exists(), (place / "outside/file").exists()
    shutil.rmtree(place)
    return wrote


def _judged(finished: Finished, inside: bool, outside: bool) -> str | None:
    said = finished.output.head.decode("utf-8", "replace")
    if outside or said.endswith("secret"):
        return "a command got out of it"
    if not inside:
        return said.strip().splitlines()[-1] if said.strip() else "a command cannot work in it"
    return None

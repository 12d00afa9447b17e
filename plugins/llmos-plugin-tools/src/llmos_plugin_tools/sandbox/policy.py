"""What one command may reach, from its run and the user's settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.ruling import RULING, SEALED, code_places, lies_in, user_places
from llmos_plugin_tools.sandbox.confine import Bounds
from llmos_plugin_tools.sandbox.places import carved, resolved, system_places
from llmos_plugin_tools.settings import SandboxSettings


class Policy:
    """What the commands of one run may reach. What does not change between them is looked up once."""

    def __init__(self, settings: SandboxSettings, own: Path) -> None:
        self._settings = settings
        self._own = own
        self._of_user = user_places()
        self._system = system_places(self._of_user)
        self._known: dict[tuple[Path, Path, int], Bounds] = {}

    def bounds(self, workdir: Path, workspace: Path) -> Bounds:
        """Raises Refused if what may be written would hold what rules the agent. ``workdir`` is resolved."""
        root = Path(os.path.realpath(workspace))
        key = workdir, root, root.stat().st_mtime_ns if root.is_dir() else 0  # what is in the root may change
        if key not in self._known:
            self._known[key] = self._bounds(workdir, root)
        return self._known[key]

    def _bounds(self, workdir: Path, root: Path) -> Bounds:
        sealed = [Path(os.path.realpath(root / name)) for name in SEALED]
        extra = [place for place in map(_named, self._settings.write) if place.exists()]
        _check([workdir, self._own, *extra], root, self._of_user)
        _check_own(self._own, [workdir, *extra])
        write = _apart([workdir, self._own, *extra])
        given = (Path(os.path.expanduser(place)) for place in self._settings.read)  # noqa: PTH111
        read = [*carved([*map(Path, self._system), *given], [*self._of_user, *sealed]), *carved([root], sealed)]
        found = _not_over(_outermost(read), write)
        return Bounds(found, [str(place) for place in write], self._settings.network)


def _apart(places: Sequence[Path]) -> list[Path]:
    """Without those that lie in another of them: they may be written anyway, and a command may replace them."""
    return [place for place in places if not any(place != other and lies_in(place, other) for other in places)]


def _named(given: str) -> Path:
    """A place to write, of the settings. Raises Refused for a link: a command may have put it there."""
    start, _, rest = given.partition("/")
    user = os.path.realpath(os.path.expanduser(start)) if start.startswith("~") else None  # noqa: PTH111
    place = Path(os.path.normpath(os.path.join(user, rest) if user else given))  # noqa: PTH118
    leads_to = Path(os.path.realpath(place))
    if leads_to != place:
        what = f"No command can run: {given}, which your settings let it write, is or lies below a symbolic link."
        raise Refused(f"{what} Name {leads_to} in [plugins.tools.sandbox] write if that is meant.")
    return place


def _not_over(read: Iterable[str], write: Sequence[Path]) -> dict[str, str]:
    """The places and where they lead, but none that leads over one that may be written: its links are a command's."""
    found = {}
    for name in read:
        real, passed = resolved(Path(name))
        if not any(lies_in(place, writable) for place in passed for writable in write):
            found[name] = str(real)
    return found


def _outermost(places: list[str]) -> list[str]:
    """Without those that lie in another of them."""
    links = {place for place in places if Path(place).is_symlink()}
    kept: list[str] = []
    for place in sorted(set(places), key=len):
        if place in links or not any(place.startswith(f"{other}/") for other in kept if other not in links):
            kept.append(place)
    return kept


def _check_own(own: Path, write: Iterable[Path]) -> None:
    for place in write:
        if lies_in(own, place):
            what = f"No command can run: {place}, which it could write, holds the run's own directory ({own})."
            raise Refused(f"{what} Set TMPDIR to a directory elsewhere.")


def _check(write: Iterable[Path], root: Path, of_user: Sequence[Path]) -> None:
    ruling = [root, *of_user, *(Path(os.path.realpath(root / name)) for name in RULING)]
    apart = [place for place in of_user if not root.is_relative_to(place)]  # the workspace has rules of its own
    for place in write:
        code = code_places(place)
        held = next((rules for rules in (*ruling, *code) if rules.is_relative_to(place)), None)
        held = held or next((rules for rules in (*apart, *code) if place.is_relative_to(rules)), None)
        if held is not None:
            what = f"No command can run: {place}, which it could write, holds what rules the agent ({held})."
            installed = "Install LLM OS outside of it (pipx, uv tool), keep it out of PYTHONPATH"
            fix = installed if held in code else "Keep that elsewhere"
            raise Refused(f"{what} {fix}, or work in another directory (--dir).")

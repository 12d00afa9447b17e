"""Which rule speaks against writing or deleting what lies at a place."""

from __future__ import annotations

from llmos_plugin_security.places import Place, World

_NAMED = {"control": "write-control", "device": "device", "temporary": "write-temporary"}


def against_writing(world: World, place: Place, rule: str = "write") -> str | None:
    """The rule against writing at a place, or against changing its mode (``rule`` ``mode``); None if there is none."""
    kind = _kind(world, place)
    if rule == "write" and world.holds_hooks(place.path):
        return "write-control"
    if rule == "write" and kind == "inside" and world.is_package(place.path):
        return "write-package"
    if kind in {"inside", "everything", "harmless", "scratch"} or place.path == world.real_root:
        return None
    if kind == "temporary" and rule == "write":
        return None
    return _NAMED.get(kind, f"{rule}-{kind}")


def against_deleting(world: World, place: Place, *, moved: bool) -> str | None:
    """The rule against deleting, or moving away, what lies at a place; None if there is none."""
    kind = _kind(world, place)
    if place.path == world.real_root:
        return "wipe-workspace"
    if kind == "everything":
        return None if moved else "wipe-workspace"
    if kind == "inside":
        return "delete-git" if world.is_git(place.path) else None
    return None if kind in {"harmless", "scratch"} else _NAMED.get(kind, f"delete-{kind}")


def told(world: World, place: Place) -> str:
    """Where a place is, and what may be written instead of it."""
    return f"{place.path}; commands may write in $TMPDIR" if world.is_in_temporary(place.path) else place.path


def _kind(world: World, place: Place) -> str:
    # What lies beside a project in /tmp belongs to others, as it does elsewhere.
    beside = place.kind == "temporary" and world.is_beside(place.path)
    return "outside" if beside or place.kind == "root" else place.kind

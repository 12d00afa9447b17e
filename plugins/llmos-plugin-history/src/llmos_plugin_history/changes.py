"""What differs between two states of a directory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal

from llmos_core import FileState, LLMOSError, PastRun, Record

Kind = Literal["created", "deleted", "changed", "mode", "renamed"]
"""How a path differs; ``changed`` is another content, target or kind, ``mode`` the permissions alone."""

States = Mapping[str, FileState]


class Change(Record):
    """One path that differs. ``source`` is where a renamed file was before."""

    path: str
    kind: Kind
    before: FileState | None
    after: FileState | None
    source: str | None = None


def kept_states(past: PastRun) -> tuple[States, States]:
    """What a run's working directory held before it and after it; both empty where it could change nothing.

    Raises LLMOSError where they are not kept.
    """
    start, end = past.start, past.end
    if start is None and end is None and not could_change(past):
        return {}, {}
    if past.outcome is None:
        raise LLMOSError(f"What run {past.id} left is not known.", "It did not end, or still works.")
    if start is None or end is None:
        moment = "began with" if start is None else "left"
        why = "Only those of the latest runs are kept, and damaged ones are not used."
        raise LLMOSError(f"The state that run {past.id} {moment} is not kept.", why)
    for state, moment in ((start, "began with"), (end, "left")):
        if state.missing:
            raise LLMOSError(f"The state that run {past.id} {moment} is not complete.", f"{state.missing}.")
    return start.entries, end.entries


def could_change(past: PastRun) -> int:
    """How many calls of a run could change something."""
    return sum(event.type == "tool_started" and event.effect != "pure" for event in past.events())


def reached_out(past: PastRun) -> int:
    """How many calls of a run could change something outside its working directory."""
    return sum(event.type == "tool_started" and event.effect == "external" for event in past.events())


def compare(before: Mapping[str, FileState | None], after: Mapping[str, FileState | None]) -> Sequence[Change]:
    """The paths that differ, by name."""
    paths = sorted(before.keys() | after.keys(), key=lambda path: path.split("/"))
    return [
        Change(path=path, kind=_kind(old, new), before=old, after=new)
        for path in paths
        if (old := before.get(path)) != (new := after.get(path))
    ]


def _kind(old: FileState | None, new: FileState | None) -> Kind:
    if old is None or new is None:
        return "created" if old is None else "deleted"
    return "mode" if old.model_copy(update={"mode": new.mode}) == new else "changed"


def with_renames(changes: Sequence[Change]) -> Sequence[Change]:
    """The same, where a file that went and one of the same bytes that came are one change."""
    gone: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.kind == "deleted" and (digest := _content(change.before)):
            gone[digest].append(change)
    moved: dict[str, Change] = {}
    for change in changes:
        sources = gone.get(_content(change.after) or "") if change.kind == "created" else None
        if sources:
            source = min(sources, key=lambda other: _name(other.path) != _name(change.path))
            sources.remove(source)
            moved[change.path] = Change(
                path=change.path, kind="renamed", before=source.before, after=change.after, source=source.path
            )
    sources_moved = {change.source for change in moved.values()}
    return [moved.get(change.path, change) for change in changes if not _is_source(change, sources_moved)]


def _is_source(change: Change, sources: set[str | None]) -> bool:
    return change.kind == "deleted" and change.path in sources


def _content(state: FileState | None) -> str | None:
    """What a file can be known by again; an empty one cannot."""
    return state.digest if state is not None and state.kind == "file" and state.size else None


def _name(path: str) -> str:
    return PurePosixPath(path).name


def below(changes: Sequence[Change], places: Sequence[str]) -> Iterator[Change]:
    """The changes at or below any of the places (all, where none is given); a rename at either end."""
    for change in changes:
        ends = [PurePosixPath(path) for path in (change.path, change.source) if path is not None]
        if not places or any(end.is_relative_to(place) for end in ends for place in places):
            yield change


_ORDER: Sequence[Kind] = ("created", "changed", "deleted", "renamed", "mode")


def summary(changes: Sequence[Change]) -> str:
    """The changes counted: ``2 created, 1 deleted``."""
    counts = Counter(change.kind for change in changes)
    return ", ".join(f"{counts[kind]} {kind}" for kind in _ORDER if counts[kind])

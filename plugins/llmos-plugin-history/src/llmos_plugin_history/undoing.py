"""Undoing a run, and taking that back: what is refused, what is planned, and what happens when something fails."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llmos_core import FileState, LLMOSError, PastRun, RunInterruptedError, UsageError, clock
from llmos_plugin_history.changes import Change, States, compare, kept_states
from llmos_plugin_history.passage import ChangedError, Passage
from llmos_plugin_history.store import UndoRecord, UndoStore
from llmos_plugin_history.texts import shown
from llmos_plugin_history.tree import Tree

_NAMED = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What an undo will do. ``wanted`` is how the entries shall be, ``stays`` the directories that cannot go.

    ``back`` is an undo taken back; ``resumes`` one that was begun before, and did not end.
    """

    record: UndoRecord
    wanted: dict[str, FileState | None]
    changes: Sequence[Change]
    stays: tuple[str, ...]
    back: bool
    resumes: bool
    fresh: bool

    @property
    def tree(self) -> Tree:
        return Tree(Path(self.record.directory))


def make_plan(store: UndoStore, past: PastRun, directory: str | None, *, back: bool) -> Plan:
    """What undoing a run would do now; with ``back``, what taking its undo back would do.

    Raises LLMOSError where something that it would touch is not as the run left it, or is not known.
    """
    record = store.load(past.id)
    fresh = record is None
    if record is None:
        if back:
            raise UsageError(f"Run {past.id} is not undone.", fix=f"Undo it with: llmos undo {past.id}")
        before, after = kept_states(past)
        place = _find_directory(past.directory, directory, past.id)
        record = _new_record(past.id, place, before, after)
    else:
        moved = past.directory is not None and Path(past.directory).parts[-3:] == Path(record.directory).parts[-3:]
        place = _find_directory(past.directory if moved else record.directory, directory, past.id)
        record = record.model_copy(update={"directory": str(place)})
    for other in store.unfinished(record.directory):
        if other != past.id:
            fix = f"End it with: llmos undo {other}; or take it back with: llmos undo --back {other}"
            raise LLMOSError(f"The undo of run {other} in this directory was not finished.", fix=fix)
    return _planned(record, past, back=back, resumes=not fresh and not record.done, fresh=fresh)


def _find_directory(known: str | None, given: str | None, run_id: str) -> Path:
    """Where the run's working directory is now. Raises LLMOSError."""
    fix = f"If it was moved, say where it is now: llmos undo {run_id} --dir D"
    if given is not None:
        path = Path(given).expanduser().resolve()
        if not path.is_dir():
            raise UsageError(f"The directory {path} is not there.", fix="Name the directory that was moved with --dir.")
        return path
    if known is None:
        raise LLMOSError(f"Where run {run_id} worked is not known.", fix=fix)
    path = Path(known)
    if not path.is_dir():
        raise LLMOSError(f"The directory {path} that run {run_id} worked in is gone.", fix=fix)
    if path.resolve() != path:
        why = "A symbolic link stands in its place, or above it."
        raise LLMOSError(f"The directory {path} is not the one that run {run_id} worked in.", why, fix)
    return path


def _new_record(run_id: str, place: Path, before: States, after: States) -> UndoRecord:
    tree = Tree(place)
    if after and all(tree.look(path) != state for path, state in after.items()):
        why = "Nothing that the run left is there."
        fix = f"If it was moved, say where it is now: llmos undo {run_id} --dir D"
        raise LLMOSError(f"The directory {place} is not the one that run {run_id} worked in.", why, fix)
    touched = {change.path for change in compare(before, after)}
    above = {str(folder) for path in touched for folder in PurePosixPath(path).parents} - touched
    # Directories on the way are opened for the work, if need be, and get the modes back that they have now.
    on_the_way = {path: tree.look(path) for path in above}
    if changed := sorted(path for path, state in on_the_way.items() if state is None or state.kind != "directory"):
        raise _changed(run_id, changed)
    return UndoRecord(
        run_id=run_id,
        directory=str(place),
        at=clock.now(),
        phase="undoing",
        staging=f".llmos-undo-{secrets.token_hex(6)}",
        before={**on_the_way, **{path: before.get(path) for path in touched}},
        after={**on_the_way, **{path: after.get(path) for path in touched}},
    )


def _planned(record: UndoRecord, past: PastRun, *, back: bool, resumes: bool, fresh: bool) -> Plan:
    wanted = dict(record.after if back else record.before)
    origin = record.before if back else record.after
    tree = Tree(Path(record.directory))
    now = {path: tree.look(path) for path in wanted}
    known = _half_way if resumes else _whole
    changed = [path for path, state in now.items() if not known(state, wanted[path], origin[path])]
    leaving = {path for path, state in now.items() if _is_directory(state) and not _is_directory(wanted[path])}
    blocked = []
    for top in sorted(path for path in leaving if str(PurePosixPath(path).parent) not in leaving):
        strangers, apart = _within(past, tree.root, top, wanted)
        changed += strangers
        blocked += apart
    if changed:
        raise _changed(record.run_id, sorted(changed), resumes=resumes)
    holding = {str(folder) for path in blocked for folder in PurePosixPath(path).parents}
    stays = tuple(sorted(leaving & holding))
    for path in stays:
        if (lost := wanted[path]) is not None:
            why = f"It is no part of a state, and {shown(path)} must become a {lost.kind} again."
            raise LLMOSError(f"{shown(path)} holds {shown(blocked[0])}, which would be lost.", why, "Move it away.")
        wanted[path] = origin[path]
    return Plan(record, wanted, compare(now, wanted), stays, back, resumes, fresh)


def _whole(now: FileState | None, wanted: FileState | None, origin: FileState | None) -> bool:
    return now in (wanted, origin)


def _half_way(now: FileState | None, wanted: FileState | None, origin: FileState | None) -> bool:
    """Whether an entry is as an undo that was cut off may have left it.

    What is not there may be a directory and a file changing places, or was moved away by its owner: both are safe.
    """
    if now is None or now in (wanted, origin):
        return True
    return _is_directory(now) and (_is_directory(wanted) or _is_directory(origin))


def _is_directory(state: FileState | None) -> bool:
    return state is not None and state.kind == "directory"


def _within(past: PastRun, root: Path, top: str, named: dict[str, FileState | None]) -> tuple[list[str], list[str]]:
    """What lies in a directory that shall go: entries that nobody named, and those that no state covers."""
    state = past.state_of(root / top)
    if state.missing:
        raise LLMOSError(f"The directory {shown(top)} cannot be compared.", f"{state.missing}.")
    covered = {f"{top}/{name}" for name in state.entries}
    return sorted(covered - named.keys()), list(_apart(root, top, covered))


def _apart(root: Path, top: str, covered: set[str]) -> Iterator[str]:
    for folder, directories, files in os.walk(root / top):
        names = {name: (Path(folder) / name).relative_to(root).as_posix() for name in (*directories, *files)}
        yield from (path for path in names.values() if path not in covered)
        directories[:] = [name for name in directories if names[name] in covered]


def _changed(run_id: str, paths: Sequence[str], *, resumes: bool = False) -> LLMOSError:
    """Nothing is touched where something is not as the run left it."""
    names = ", ".join(shown(path) for path in paths[:_NAMED])
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    if resumes:
        what = f"The undo of run {run_id} was cut off, and this changed since; nothing was touched:"
        return LLMOSError(f"{what} {names}{more}.", fix="Move it out of the directory, and try again.")
    what = f"This changed since run {run_id} ended, or was undone; nothing was touched: {names}{more}."
    return LLMOSError(what, fix="If a later run changed it, undo that one first. See them with: llmos runs list")


def carry_out(store: UndoStore, past: PastRun, plan: Plan) -> None:
    """Do what is planned. If it fails, the directory is brought back to what it was before.

    Raises LLMOSError, which says how the directory was left.
    """
    record = plan.record.model_copy(update={"phase": "returning" if plan.back else "undoing"})
    try:
        _write_down(store, past, plan, record)
        _go(store, plan, plan.wanted)
        if not plan.back:
            store.write(record.model_copy(update={"phase": "undone", "at": clock.now()}))
    except (OSError, ChangedError, KeyboardInterrupt) as error:
        _turn_back(store, plan, error)
    if plan.back:
        store.forget(record.run_id)


def _write_down(store: UndoStore, past: PastRun, plan: Plan, record: UndoRecord) -> None:
    if plan.fresh:
        root = Path(record.directory)
        found = {state.digest: root / path for path, state in record.after.items() if state and state.digest}
        store.begin(record, past.content, found)
    else:
        store.write(record)


def _go(store: UndoStore, plan: Plan, wanted: dict[str, FileState | None]) -> None:
    record = plan.record
    Passage(plan.tree, wanted, record.staging, lambda digest: store.content(record, digest)).go()


def _turn_back(store: UndoStore, plan: Plan, cause: BaseException) -> None:
    """Bring the directory back to what it was before we began, and raise the error that says so."""
    record = plan.record
    if plan.resumes:
        raise _half_done(record, cause)
    origin = record.before if plan.back else record.after
    now = {path: plan.tree.look(path) for path in origin}
    ours = {path for path, state in now.items() if _half_way(state, plan.wanted[path], origin[path])}
    try:
        _go(store, plan, {path: origin[path] if path in ours else now[path] for path in origin})
        if plan.back:
            store.write(record)
        else:
            store.forget(record.run_id)
    except (OSError, ChangedError, KeyboardInterrupt) as error:
        if any(plan.tree.look(path) != origin[path] for path in ours):
            raise _half_done(record, cause) from error
    action = "Taking the undo back" if plan.back else "The undo"
    left = f"; the directory is as it was before: {record.directory}"
    if isinstance(cause, KeyboardInterrupt):
        raise RunInterruptedError(f"{action} was interrupted{left}") from cause
    raise LLMOSError(f"{action} failed{left}", _why(cause)) from cause


def _half_done(record: UndoRecord, cause: BaseException) -> LLMOSError:
    fix = f"End it with: llmos undo {record.run_id}; or take it back with: llmos undo --back {record.run_id}"
    kind = RunInterruptedError if isinstance(cause, KeyboardInterrupt) else LLMOSError
    return kind(f"The undo stopped half-way in {record.directory}; nothing is lost.", _why(cause), fix)


def _why(error: BaseException) -> str:
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{place}."
    return f"{shown(str(error)) or 'It was interrupted'}."

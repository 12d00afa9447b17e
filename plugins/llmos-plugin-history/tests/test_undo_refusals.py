"""What an undo does not touch, and what it does not begin."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from llmos_core import LLMOSError, PastRun, UsageError
from llmos_plugin_history.store import UndoStore
from llmos_plugin_history.undoing import make_plan

from .faults import Faults
from .worlds import happened, link, move, remove, seen, undo, write


def refused(space: Path, past: PastRun, directory: Path | None = None, *, back: bool = False) -> LLMOSError:
    with pytest.raises(LLMOSError) as caught:
        undo(space, past, directory=directory, back=back)
    return caught.value


def edit(root: Path) -> None:
    write(root / "a.txt", "after")
    write(root / "sub/new.txt", "new")
    remove(root / "old.txt")


@pytest.fixture
def past(space: Path, place: Path) -> PastRun:
    write(place / "a.txt", "before")
    write(place / "old.txt", "old")
    write(place / "other.txt", "other")
    return happened(space, place, edit)


CHANGES: list[tuple[str, Callable[[Path], object]]] = [
    ("a.txt", lambda root: write(root / "a.txt", "mine")),
    ("a.txt", lambda root: (root / "a.txt").chmod(0o600)),
    ("a.txt", lambda root: remove(root / "a.txt")),
    ("a.txt", lambda root: link(root / "a.txt", "/etc/passwd")),
    ("old.txt", lambda root: write(root / "old.txt", "again")),
    ("old.txt", lambda root: os.mkfifo(root / "old.txt")),
    ("sub/mine.txt", lambda root: write(root / "sub/mine.txt", "mine")),
    ("sub/deep, sub/deep/mine.txt", lambda root: write(root / "sub/deep/mine.txt", "mine")),
]


@pytest.mark.parametrize(("named", "change"), CHANGES, ids=range(len(CHANGES)))
def test_what_changed_since_is_named_and_nothing_is_touched(
    space: Path, place: Path, past: PastRun, named: str, change: Callable[[Path], object]
) -> None:
    change(place)
    listing = entries(place)
    error = refused(space, past)
    assert error.exit_code == 1
    assert error.what == f"This changed since run {past.id} ended, or was undone; nothing was touched: {named}."
    assert entries(place) == listing
    assert UndoStore(space / "state/undo").load(past.id) is None


def entries(root: Path) -> dict[Path, tuple[int, ...]]:
    """Whether anything was so much as written again."""
    infos = {path: path.lstat() for path in root.rglob("*")}
    return {path: (info.st_ino, info.st_mode, info.st_ctime_ns) for path, info in infos.items()}


def test_what_the_run_did_not_touch_may_change(space: Path, place: Path, past: PastRun) -> None:
    write(place / "other.txt", "mine")
    write(place / "sub2/mine.txt", "mine")
    undo(space, past)
    assert (place / "a.txt").read_text() == "before"
    assert (place / "other.txt").read_text() == "mine"
    assert (place / "sub2/mine.txt").read_text() == "mine"


def test_what_is_back_already_is_no_hindrance(space: Path, place: Path, past: PastRun) -> None:
    write(place / "a.txt", "before")
    undo(space, past)
    assert not (place / "sub").exists()


def test_an_undone_run_that_changed_since_is_not_redone(space: Path, place: Path, past: PastRun) -> None:
    undo(space, past)
    write(place / "old.txt", "mine")
    error = refused(space, past, back=True)
    assert error.what.endswith("nothing was touched: old.txt.")
    assert (place / "old.txt").read_text() == "mine"


def test_a_directory_that_became_a_link_is_not_followed(space: Path, place: Path, tmp_path: Path) -> None:
    write(place / "sub/gone.txt", "gone")
    write(place / "other.txt", "other")
    past = happened(space, place, lambda root: remove(root / "sub/gone.txt"))
    move(place / "sub", tmp_path / "elsewhere")
    link(place / "sub", "../elsewhere")
    error = refused(space, past)
    assert error.what.endswith("nothing was touched: sub.")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_is_replaced_and_its_target_untouched(space: Path, place: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside.txt", "outside", 0o600)
    write(place / "a.txt", "inside")
    past = happened(space, place, lambda root: link(root / "a.txt", "../outside.txt"))
    undo(space, past)
    assert not (place / "a.txt").is_symlink()
    assert (place / "a.txt").read_text() == "inside"
    assert (tmp_path / "outside.txt").read_text() == "outside"
    assert (tmp_path / "outside.txt").stat().st_mode & 0o777 == 0o600


def test_what_no_state_covers_stays(space: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(root: Path) -> None:
        write(root / "made/deep/a.py", "a = 1\n")
        write(root / "plain/b.py", "b = 1\n")

    past = happened(space, place, work)
    write(place / "made/deep/__pycache__/a.pyc", b"compiled")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(place)  # the path of a socket must be short
        server.bind("socket")
    store = UndoStore(space / "state/undo")
    assert make_plan(store, past, None, back=False).stays == ("made", "made/deep")
    undo(space, past)
    assert sorted(seen_names(place)) == [
        "made",
        "made/deep",
        "made/deep/__pycache__",
        "made/deep/__pycache__/a.pyc",
        "socket",
    ]
    undo(space, past, back=True)
    assert (place / "made/deep/a.py").read_text() == "a = 1\n"
    assert (place / "plain/b.py").exists()


def seen_names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.rglob("*")]


def test_what_no_state_covers_is_not_lost_for_a_file(space: Path, place: Path) -> None:
    write(place / "a", "a file")

    def work(root: Path) -> None:
        write(root / "a/b.py", "b = 1\n")

    past = happened(space, place, work)
    write(place / "a/__pycache__/b.pyc", b"compiled")
    error = refused(space, past)
    assert error.what == "a holds a/__pycache__, which would be lost."
    assert (place / "a/b.py").exists()


def test_a_directory_that_is_gone_or_moved(space: Path, place: Path, past: PastRun, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    place.rename(moved)
    error = refused(space, past)
    assert error.what == f"The directory {place} that run {past.id} worked in is gone."
    assert error.fix == f"If it was moved, say where it is now: llmos undo {past.id} --dir D"
    assert refused(space, past, tmp_path / "nowhere").exit_code == 2
    place.mkdir()
    write(place / "stranger", "x")
    assert refused(space, past).what == f"The directory {place} is not the one that run {past.id} worked in."
    remove(place)
    place.symlink_to(moved)
    assert refused(space, past).why == "A symbolic link stands in its place, or above it."
    undo(space, past, directory=moved)
    assert (moved / "a.txt").read_text() == "before"
    undo(space, past, directory=moved, back=True)
    assert (moved / "a.txt").read_text() == "after"


def test_a_state_that_is_not_kept(space: Path, place: Path, past: PastRun) -> None:
    (space / f"state/ends/{past.id}.json").rename(space / "end")
    assert refused(space, past).what == f"The state that run {past.id} left is not kept."
    (space / "end").rename(space / f"state/ends/{past.id}.json")
    (space / f"state/starts/{past.id}.json").write_text("{")
    assert refused(space, past).what == f"The state that run {past.id} began with is not kept."
    (space / f"state/starts/{past.id}.json").write_text('{"missing": "it is too large"}')
    error = refused(space, past)
    assert error.what == f"The state that run {past.id} began with is not complete."
    assert error.why == "it is too large."


def test_a_run_that_did_not_end(space: Path, place: Path, past: PastRun) -> None:
    (space / f"state/ends/{past.id}.json").unlink()
    past.outcome = None
    assert refused(space, past).what == f"What run {past.id} left is not known."


def test_a_start_that_is_lost_or_damaged(space: Path, place: Path, past: PastRun) -> None:
    assert past.start is not None
    before = past.content(past.start.entries["a.txt"].digest or "")
    before.write_text("damage")
    end = seen(place)
    assert refused(space, past).what == "A content that the undo needs is not kept any more."
    before.unlink()
    assert refused(space, past).what == "A content that the undo needs is not kept any more."
    assert seen(place) == end


def test_an_end_that_is_lost_is_kept_first(space: Path, place: Path, past: PastRun, faults: Faults) -> None:
    """Else what the run wrote would be lost with the undo."""
    end = seen(place)
    assert past.end is not None
    past.content(past.end.entries["a.txt"].digest or "").unlink()
    past.content(past.end.entries["sub/new.txt"].digest or "").write_text("damage")
    undo(space, past)
    assert (place / "a.txt").read_text() == "before"
    undo(space, past, back=True)
    assert seen(place) == end


def test_an_undo_needs_no_state_of_the_run_once_it_began(
    space: Path, place: Path, past: PastRun, faults: Faults
) -> None:
    start, end = {"a.txt", "old.txt", "other.txt"}, {"a.txt", "other.txt", "sub", "sub/new.txt"}
    with faults.killing(30):
        undo(space, past)
    record = UndoStore(space / "state/undo").load(past.id)
    assert record is not None
    assert not record.done
    for kept in (space / "state/blobs").rglob("*"):
        if kept.is_file():
            kept.unlink()
    (space / f"state/starts/{past.id}.json").unlink()
    undo(space, past)
    assert set(seen_names(place)) == start
    undo(space, past, back=True)
    assert set(seen_names(place)) == end


def test_what_changes_after_an_undo_was_cut_off(space: Path, place: Path, past: PastRun, faults: Faults) -> None:
    with faults.killing(30):
        undo(space, past)
    write(place / "a.txt", "mine")
    error = refused(space, past)
    assert "was cut off, and this changed since; nothing was touched: a.txt." in error.what
    assert (place / "a.txt").read_text() == "mine"
    (place / "a.txt").rename(place / "my a.txt")
    undo(space, past)
    assert sorted(seen_names(place)) == ["a.txt", "my a.txt", "old.txt", "other.txt"]


def test_another_undo_in_that_directory_is_ended_first(space: Path, place: Path, past: PastRun, faults: Faults) -> None:
    other = happened(space, place, lambda root: write(root / "later.txt", "later"))
    with faults.killing(13):
        undo(space, other)
    record = UndoStore(space / "state/undo").load(other.id)
    assert record is not None
    assert not record.done
    assert refused(space, past).what == f"The undo of run {other.id} in this directory was not finished."
    undo(space, other)
    undo(space, past)


def test_two_undos_at_once(space: Path, place: Path, past: PastRun) -> None:
    with UndoStore(space / "state/undo").locked():
        assert refused(space, past).what == "Another undo is at work in this workspace."
    undo(space, past)


def test_something_else_that_works_meanwhile(
    space: Path, place: Path, past: PastRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process writes during the undo is kept, and all else is as it was."""
    real = os.unlink

    def unlink(path: str, **named: int) -> None:
        if path == "new.txt":
            (place / "a.txt").write_text("mine")
        real(path, **named)

    monkeypatch.setattr(os, "unlink", unlink)
    error = refused(space, past)
    assert error.what == f"The undo failed; the directory is as it was before: {place}"
    assert error.why == "a.txt was changed meanwhile."
    assert (place / "a.txt").read_text() == "mine"
    assert (place / "sub/new.txt").read_text() == "new"
    assert not (place / "old.txt").exists()


def test_a_damaged_record(space: Path, place: Path, past: PastRun) -> None:
    undo(space, past)
    path = space / f"state/undo/{past.id}/record.json"
    path.write_text(path.read_text()[:100])
    assert refused(space, past).what == f"What is known of the undo of run {past.id} cannot be read."


def test_old_undos_are_forgotten_but_never_one_that_did_not_end(
    space: Path, place: Path, past: PastRun, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos_plugin_history.store._LATEST", 2)
    with faults.killing(20):
        undo(space, past)
    store = UndoStore(space / "state/undo")
    record = store.load(past.id)
    assert record is not None
    assert not record.done
    later = [f"2999-01-01-00000{number}-aaaaaa" for number in range(4)]
    for run_id in later:
        store.begin(record.model_copy(update={"run_id": run_id, "phase": "undone"}), past.content, {})
    (space / "state/undo/2998-01-01-000000-aaaaaa/contents").mkdir(parents=True)
    store.begin(record.model_copy(update={"run_id": later[-1], "phase": "undone"}), past.content, {})
    left = sorted(path.name for path in (space / "state/undo").iterdir() if path.is_dir())
    assert left == [past.id, *later[-2:]]


def test_nothing_to_take_back(space: Path, past: PastRun) -> None:
    with pytest.raises(UsageError) as caught:
        undo(space, past, back=True)
    assert caught.value.what == f"Run {past.id} is not undone."


def test_directories_closed_by_the_run(space: Path, place: Path) -> None:
    """Without the rights of root these could not be changed as they are."""
    write(place / "closed/a", "a")

    start = seen(place)
    past = happened(space, place, close)
    end = seen(place)
    undo(space, past)
    assert seen(place) == start
    undo(space, past, back=True)
    assert seen(place) == end
    for path in (place / "closed", place / "new/inner", place / "new"):
        path.chmod(0o755)


def close(root: Path) -> None:
    write(root / "closed/a", "b")
    write(root / "closed/b", "b")
    (root / "closed").chmod(0o555)
    write(root / "new/inner/c", "c", 0o400)
    (root / "new/inner").chmod(0o500)
    (root / "new").chmod(0o555)


def test_an_owner_stays(space: Path, place: Path) -> None:
    """A file that is replaced belongs to whom it belonged, and setuid bits survive that."""
    write(place / "a", "before")
    if os.geteuid() == 0:
        os.chown(place / "a", 1, 2)
    (place / "a").chmod(0o6711)

    def edit_in_place(root: Path) -> None:
        (root / "a").write_text("after")

    info = (place / "a").stat()
    past = happened(space, place, edit_in_place)
    undo(space, past)
    now = (place / "a").stat()
    assert (now.st_uid, now.st_gid, now.st_mode) == (info.st_uid, info.st_gid, info.st_mode)
    assert (place / "a").read_text() == "before"


def test_a_directory_that_becomes_a_link_meanwhile(
    space: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "a.txt", "after")
    write(place / "sub/a.txt", "before")

    def work(root: Path) -> None:
        write(root / "sub/a.txt", "after")
        write(root / "first.txt", "new")

    past = happened(space, place, work)
    real = os.unlink

    def unlink(path: str, **named: int) -> None:
        real(path, **named)
        if path == "first.txt":
            move(place / "sub", tmp_path / "moved")
            (place / "sub").symlink_to(elsewhere)

    monkeypatch.setattr(os, "unlink", unlink)
    assert refused(space, past).what == f"The undo stopped half-way in {place}; nothing is lost."
    monkeypatch.undo()
    assert (elsewhere / "a.txt").read_text() == "after"
    assert refused(space, past).what.endswith("nothing was touched: sub.")
    remove(place / "sub")
    undo(space, past)
    assert seen_names(place) == ["sub", "sub/a.txt"]
    assert (place / "sub/a.txt").read_text() == "before"
    assert (elsewhere / "a.txt").read_text() == "after"

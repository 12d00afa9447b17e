"""An undo gives back the start exactly, whatever the run did and whatever fails meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_core import LLMOSError, PastRun, RunInterruptedError
from llmos_plugin_history.store import UndoStore

from . import worlds
from .faults import Faults
from .worlds import furnish, happened, overturn, seen, undo

ROOT = os.geteuid() == 0


def test_every_kind_of_change_is_taken_back(space: Path, place: Path) -> None:
    furnish(place)
    start = seen(place)
    past = happened(space, place, overturn)
    end = seen(place)
    assert len({name for name in start.keys() | end.keys() if start.get(name) != end.get(name)}) >= 24
    undo(space, past)
    assert seen(place) == start
    undo(space, past, back=True)
    assert seen(place) == end
    undo(space, past)
    assert seen(place) == start


@pytest.mark.slow
def test_killed_at_any_step_it_ends_or_returns(space: Path, place: Path, faults: Faults) -> None:
    furnish(place)
    start = seen(place)
    past = happened(space, place, overturn)
    end = seen(place)
    at = died = 0
    while True:
        at += 1
        with faults.killing(at):
            undo(space, past)
        if faults.count < at:
            break
        died += 1
        if UndoStore(space / "state/undo").load(past.id) is None:
            assert seen(place) == end
        else:
            undo(space, past, back=True)
            assert seen(place) == end, at
            with faults.killing(at):
                undo(space, past)
        undo(space, past)
        assert seen(place) == start, at
        undo(space, past, back=True)
    assert died > 80


@pytest.mark.slow
def test_taking_it_back_may_be_killed_at_any_step_too(space: Path, place: Path, faults: Faults) -> None:
    furnish(place)
    start = seen(place)
    past = happened(space, place, overturn)
    end = seen(place)
    undo(space, past)
    at = 0
    while True:
        at += 1
        with faults.killing(at):
            undo(space, past, back=True)
        if faults.count < at:
            break
        if UndoStore(space / "state/undo").load(past.id) is None:
            assert seen(place) == end
            undo(space, past)
            continue
        undo(space, past, back=at % 2 == 0)
        assert seen(place) == (end if at % 2 == 0 else start), at
        if at % 2 == 0:
            undo(space, past)
    assert at > 60


def tried(space: Path, past: PastRun) -> OSError | LLMOSError | None:
    """Undo the run, and give what went wrong."""
    try:
        undo(space, past)
    except (OSError, LLMOSError) as error:
        return error
    return None


@pytest.mark.slow
def test_a_fault_at_any_step_leaves_the_directory_as_it_was(space: Path, place: Path, faults: Faults) -> None:
    furnish(place)
    past = happened(space, place, overturn)
    end = seen(place)
    at = failed = 0
    while True:
        at += 1
        with faults.failing(at):
            error = tried(space, past)
        if faults.count < at:
            break
        if error is None:  # there was another way: a content is copied where it cannot be linked
            undo(space, past, back=True)
        assert seen(place) == end, at
        if isinstance(error, LLMOSError):
            failed += 1
            assert "the directory is as it was before" in error.what or "nothing was touched" in error.what
            assert error.why.startswith("Input/output error")
            assert UndoStore(space / "state/undo").load(past.id) is None
    assert failed > 70
    undo(space, past, back=True)
    assert seen(place) == end


@pytest.mark.slow
def test_a_fault_that_stays_loses_nothing(space: Path, place: Path, faults: Faults) -> None:
    furnish(place)
    start = seen(place)
    past = happened(space, place, overturn)
    end = seen(place)
    at = half = 0
    while True:
        at += 1
        with faults.failing(at, stays=True):
            error = tried(space, past)
        if faults.count < at:
            break
        if isinstance(error, LLMOSError) and "half-way" in error.what:
            half += 1
            fix = f"End it with: llmos undo {past.id}; or take it back with: llmos undo --back {past.id}"
            assert error.fix == fix
        else:
            assert seen(place) == end, at
        undo(space, past)
        assert seen(place) == start, at
        undo(space, past, back=True)
    assert half > 30


def test_an_interrupt_leaves_the_directory_as_it_was(space: Path, place: Path, faults: Faults) -> None:
    furnish(place)
    past = happened(space, place, overturn)
    end = seen(place)
    with pytest.raises(RunInterruptedError, match="as it was before"), faults.interrupting(75):
        undo(space, past)
    assert seen(place) == end


NAMES = st.sampled_from(["a", "b c", "new\nline", "ünï", "-x", ".hid", "a.txt"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
BYTES = st.sampled_from([b"", b"text\n", b"other text\n", b"\0\xff", b"x" * 5000])
FILE_MODES = st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2711, 0o444, 0o000 if ROOT else 0o400])
DIRECTORY_MODES = st.sampled_from([0o755, 0o700, 0o2755, 0o1777, 0o000 if ROOT else 0o711])
STEPS = st.one_of(
    st.tuples(st.just("write"), PATHS, BYTES, FILE_MODES),
    st.tuples(st.just("make_directory"), PATHS, DIRECTORY_MODES),
    st.tuples(st.just("link"), PATHS, st.sampled_from(["a", "../a", "/etc", "nowhere", "."])),
    st.tuples(st.just("move"), PATHS, PATHS.map(Path)),
    st.tuples(st.just("join"), PATHS, PATHS.map(Path)),
    st.tuples(st.just("change_mode"), PATHS, FILE_MODES if ROOT else st.just(0o755)),
    st.tuples(st.just("remove"), PATHS),
)
SCRIPTS = st.lists(STEPS, max_size=12)


def play(root: Path, script: list[tuple[Any, ...]]) -> None:
    """Do each step that can be done within the directory, following no link."""
    for action, path, *arguments in script:
        if any((root / path).parents[i].is_symlink() for i in range(path.count("/"))):
            continue
        given = [root / each if isinstance(each, Path) else each for each in arguments]
        if isinstance(given[0] if given else None, Path) and _through_link(root, given[0]):
            continue
        getattr(worlds, action)(root / path, *given)


def _through_link(root: Path, path: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(root))


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=SCRIPTS, during=SCRIPTS)
def test_any_run_is_undone_exactly(tmp_path: Path, before: list[Any], during: list[Any]) -> None:
    place = _fresh(tmp_path)
    play(place, before)
    start = seen(place)
    past = happened(tmp_path / "space", place, lambda root: play(root, during))
    end = seen(place)
    if start == end:
        return
    undo(tmp_path / "space", past)
    assert seen(place) == start
    undo(tmp_path / "space", past, back=True)
    assert seen(place) == end


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=SCRIPTS, during=SCRIPTS, deaths=st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=4))
def test_any_run_is_undone_exactly_by_a_process_that_dies(
    tmp_path: Path, faults: Faults, before: list[Any], during: list[Any], deaths: list[tuple[int, bool]]
) -> None:
    place = _fresh(tmp_path)
    play(place, before)
    start = seen(place)
    past = happened(tmp_path / "space", place, lambda root: play(root, during))
    end = seen(place)
    if start == end:
        return
    store = UndoStore(tmp_path / "space/state/undo")
    for at, back in deaths:
        record = store.load(past.id)
        if back if record is None else record.done and not back:
            continue
        with faults.killing(at):
            undo(tmp_path / "space", past, back=back)
    record = store.load(past.id)
    if record is None or not record.done:
        undo(tmp_path / "space", past)
    assert seen(place) == start
    undo(tmp_path / "space", past, back=True)
    assert seen(place) == end


def _fresh(tmp_path: Path) -> Path:
    for path in tmp_path.iterdir():
        shutil.rmtree(path)
    place = tmp_path / "place"
    place.mkdir()
    return place

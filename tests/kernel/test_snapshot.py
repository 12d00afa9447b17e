"""States of a directory: exact, bounded, each content kept once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_core import LLMOSError
from llmos_core.kernel.snapshot import Bounds, capture, lay_out
from llmos_core.kernel.states import ChangedError, StateStore

NAMES = st.sampled_from(["a", "b", "c d", "ü", "--x", "e.py"])
TREES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=20), max_size=6)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_a_laid_out_state_is_the_same_state(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    root, copy, kept = (tmp_path_factory.mktemp(name) for name in ("root", "copy", "kept"))
    for name, content in files.items():
        path = root / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o640)
    states = StateStore(kept)
    state = capture(root, Bounds(), states.keep)
    lay_out(state, states.content, copy)
    assert capture(copy, Bounds()) == state


def test_modes_links_and_empty_directories_are_kept(tmp_path: Path) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    (root / "empty").mkdir(parents=True, mode=0o750)
    (root / "tool.sh").write_text("echo hi")
    (root / "tool.sh").chmod(0o755)
    (root / "link").symlink_to("tool.sh")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.pyc").write_bytes(b"derived")
    os.mkfifo(root / "pipe")
    copy.mkdir()
    states = StateStore(tmp_path / "states")
    state = capture(root, Bounds(), states.keep)
    assert sorted(state.entries) == ["empty", "link", "tool.sh"]
    lay_out(state, states.content, copy)
    assert capture(copy, Bounds()) == state
    assert (copy / "link").readlink() == Path("tool.sh")


def test_equal_contents_are_kept_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / name).write_bytes(b"same")
    states = StateStore(tmp_path / "states")
    capture(root, Bounds(), states.keep)
    capture(root, Bounds(), states.keep)
    assert len([path for path in (tmp_path / "states").rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("bounds", "reason"), [(Bounds(max_files=1), "more than 1 files"), (Bounds(max_bytes=3), "more than 0 MiB")]
)
def test_beyond_the_bounds_nothing_is_kept_and_the_reason_is_told(tmp_path: Path, bounds: Bounds, reason: str) -> None:
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"34")
    state = capture(tmp_path, bounds)
    assert state.entries == {}
    assert state.missing
    assert reason in state.missing


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))).write_bytes(b"")
    assert "not UTF-8" in (capture(tmp_path, Bounds()).missing or "")


def test_a_link_to_what_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(os.fsdecode(b"\xff"))
    assert "not UTF-8" in (capture(tmp_path, Bounds()).missing or "")


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"before")
    states = StateStore(tmp_path / "states")
    monkeypatch.setattr("llmos_core.kernel.states.file_digest", lambda path: "0" * 64)
    with pytest.raises(ChangedError):
        states.keep(tmp_path / "a")
    assert [path for path in (tmp_path / "states").rglob("*") if path.is_file()] == []


def test_only_the_latest_states_are_kept(tmp_path: Path) -> None:
    root, states = tmp_path / "root", StateStore(tmp_path / "states", latest=5)
    root.mkdir()
    digests = []
    for number in range(60):
        (root / "file").write_text(str(number))
        state = capture(root, Bounds(), states.keep)
        digest = state.entries["file"].digest
        assert digest
        digests.append(digest)
        os.utime(states.content(digest), (0, 0))
        states.save(f"run-{number:03}", state)
    assert len(list((tmp_path / "states/starts").iterdir())) <= 25
    assert states.load("run-059").entries["file"].digest == digests[-1]
    assert states.content(digests[-1]).read_text() == "59"
    assert not states.content(digests[0]).exists()
    with pytest.raises(FileNotFoundError):
        states.load("run-000")


def test_a_damaged_content_is_never_laid_out_as_good(tmp_path: Path) -> None:
    root, copy, states = tmp_path / "root", tmp_path / "copy", StateStore(tmp_path / "states")
    root.mkdir()
    copy.mkdir()
    (root / "file").write_bytes(b"good")
    state = capture(root, Bounds(), states.keep)
    states.content(state.entries["file"].digest or "").write_bytes(b"")
    with pytest.raises(LLMOSError, match="damaged"):
        lay_out(state, states.content, copy)

"""Random trees with random links, and random paths through them, compared with what the kernel itself makes of a path.

Following a path by its name tells which file it means. The tools must open that very file if it lies inside, and none
if it lies outside. Where the kernel opens nothing (``missing/..``, a loop), the tools may still name a file, inside.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos_plugin_tools import beneath
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.files import entry
from llmos_plugin_tools.paths import Paths
from llmos_plugin_tools.ruling import SEALED

NAMES = ("a", "b", "c", "memories")
WORK = "workspace/work"
HAS_OPENAT2 = beneath.has_openat2()
PLACES = ("outside", "workspace", "workspace/memories", WORK)

names = st.sampled_from(NAMES)
below = st.lists(names, min_size=1, max_size=3).map("/".join)
anywhere = st.tuples(st.sampled_from(PLACES), below).map("/".join)
steps = st.lists(st.sampled_from([*NAMES, "..", ".", ""]), min_size=1, max_size=6).map("/".join)
absolute = st.tuples(st.sampled_from(PLACES), steps).map(lambda parts: "TOP/" + "/".join(parts))
paths = st.one_of(steps, steps, absolute)
trees = st.lists(st.tuples(anywhere, st.one_of(st.just("file"), st.just("directory"), paths)), min_size=3, max_size=14)


@dataclass
class Tree:
    top: Path
    inside: dict[tuple[int, int], str]
    """The files that may be read, by what they are; each holds its own path."""

    @property
    def work(self) -> Path:
        return self.top / WORK

    def files(self) -> dict[str, bytes]:
        """Every regular file, without following links."""
        found = {}
        for directory, _, files in os.walk(self.top):
            for name in files:
                path = Path(directory, name)
                if not path.is_symlink():
                    found[str(path.relative_to(self.top))] = path.read_bytes()
        return found


@contextmanager
def planted(tree: list[tuple[str, str]]) -> Iterator[Tree]:
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory).resolve()
        for place in PLACES:
            (top / place).mkdir(parents=True, exist_ok=True)
        for path, what in tree:
            place = top / path
            if _plain(top, place) and not os.path.lexists(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                if what == "file":
                    place.write_text(path)
                elif what == "directory":
                    place.mkdir()
                else:
                    place.symlink_to(what.replace("TOP", str(top)) or ".")
        built = Tree(top, {})
        for name in built.files():
            if name.startswith("workspace/") and not name.startswith(tuple(f"workspace/{at}/" for at in SEALED)):
                status = (top / name).stat()
                built.inside[status.st_dev, status.st_ino] = name
        yield built


def _plain(top: Path, place: Path) -> bool:
    """Whether the parents of a place are directories, or can be made."""
    above = [parent for parent in place.parents if parent.is_relative_to(top)]
    return all(parent.is_dir() and not parent.is_symlink() for parent in above if os.path.lexists(parent))


def meant(path: Path) -> tuple[int, int] | None:
    """The regular file that the kernel opens by a path."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if path.is_file() else None


def read(tree: Tree, path: str) -> str | None:
    try:
        with entry(Paths(tree.work, tree.top / "workspace").readable(path)) as file:
            return file.load()[0].decode()
    except (Refused, OSError):
        return None


@pytest.mark.parametrize("openat2", [True, False])
@settings(deadline=None)
@given(trees, paths)
def test_what_is_read_is_what_the_path_means_and_never_outside(openat2, tree, path) -> None:
    with patch.object(beneath, "has_openat2", lambda: openat2 and HAS_OPENAT2), planted(tree) as built:
        given_path = path.replace("TOP", str(built.top))
        found = read(built, given_path)
        file = meant(built.work / given_path)
        if file is None:
            assert found is None or found in built.inside.values()
        else:
            assert found == built.inside.get(file)


@pytest.mark.parametrize("openat2", [True, False])
@settings(deadline=None)
@given(trees, paths)
def test_what_is_written_lies_in_the_working_directory(openat2, tree, path) -> None:
    with patch.object(beneath, "has_openat2", lambda: openat2 and HAS_OPENAT2), planted(tree) as built:
        given_path = path.replace("TOP", str(built.top))
        before = built.files()
        try:
            with entry(Paths(built.work, built.top / "workspace").writable(given_path), make=True) as file:
                file.replace(b"new", file.status())
        except (Refused, OSError):
            assert built.files() == before
            return
        after = built.files()
        changed = [name for name in after if after[name] != before.get(name)]
        assert len(changed) == 1
        assert changed[0].startswith(WORK + "/")
        assert {**after, changed[0]: b""} == {**before, changed[0]: b""}
        if os.path.lexists(built.work / given_path.rstrip("/")):  # not so for "missing/.."
            assert (built.work / given_path.rstrip("/")).samefile(built.top / changed[0])

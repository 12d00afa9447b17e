from __future__ import annotations

import os
import threading
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_plugin_tools import walk
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.beneath import open_beneath
from llmos_plugin_tools.globs import GlobPattern, split_base


@pytest.fixture
def tree(work: Path) -> Path:
    for name in (
        "top.py",
        ".hidden.py",
        "sub/x.py",
        "sub/deep/y.py",
        "sub/z.txt",
        ".git/c.py",
        "sub/.git/d.py",
        "a-b.py",
    ):
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (work / "link.py").symlink_to("top.py")
    (work / "linked").symlink_to("sub")
    (work / ".gitignore").write_text("*.py")
    return work


EVERY = ".hidden.py\na-b.py\nsub/deep/y.py\nsub/x.py\ntop.py"


@pytest.mark.parametrize(
    ("input", "output"),
    [
        ({"pattern": "*.py"}, EVERY),
        ({"pattern": "**/*.py"}, EVERY),
        ({"pattern": "**/*.{py,pyi}"}, EVERY),
        ({"pattern": "*.py", "path": "sub"}, "sub/deep/y.py\nsub/x.py"),
        ({"pattern": "sub/*.py"}, "sub/x.py"),
        ({"pattern": "./sub/*.py"}, "sub/x.py"),
        ({"pattern": "sub/**"}, "sub/deep/y.py\nsub/x.py\nsub/z.txt"),
        ({"pattern": "sub/deep/y.py"}, "sub/deep/y.py"),
        ({"pattern": "x.py"}, "sub/x.py"),
        ({"pattern": "{sub/x,top}.py"}, "sub/x.py\ntop.py"),
        ({"pattern": "[st]*.p?"}, "top.py"),
        ({"pattern": "sub"}, "No files found"),
        ({"pattern": "SUB/*.py"}, "No files found"),
        ({"pattern": "nope/*"}, "No files found"),
        ({"pattern": "*.py", "path": ".git"}, ".git/c.py"),
    ],
)
async def test_glob(call, tree, input, output) -> None:
    result = await call("Glob", **input)
    assert (result.output, result.is_error) == (output, False)


async def test_the_order_is_that_of_paths_not_of_times(call, tree) -> None:
    for age, name in enumerate(["top.py", "sub/x.py", "a-b.py"]):
        os.utime(tree / name, (age, age))
    assert (await call("Glob", pattern="*.py")).output == EVERY


async def test_absolute_patterns_and_paths_of_the_workspace(call, tree, run) -> None:
    assert (await call("Glob", pattern=f"{tree}/sub/**/*.py")).output == "sub/deep/y.py\nsub/x.py"
    (run.workspace / "facts.md").write_text("x")
    found = await call("Glob", pattern="**/*.md", path=str(run.workspace))
    assert found.output == str(run.workspace / "facts.md")


async def test_errors(call, tree) -> None:
    expected = {
        ("*", "missing"): "Directory does not exist: missing",
        ("*", "top.py"): "Path is not a directory: top.py",
    }
    for (pattern, path), output in expected.items():
        result = await call("Glob", pattern=pattern, path=path)
        assert (result.output, result.is_error) == (output, True)
    for input in ({"pattern": "*", "path": "/etc"}, {"pattern": "/etc/*"}, {"pattern": "../../../../*"}):
        result = await call("Glob", **input)
        assert result.is_error
        assert result.output.startswith("Not allowed to read ")


async def test_long_lists_are_cut(call, work) -> None:
    for number in range(150):
        (work / f"{number:03}.zz").touch()
    result = await call("Glob", pattern="*.zz")
    lines = result.output.splitlines()
    assert lines[:2] == ["000.zz", "001.zz"]
    assert lines[99:] == ["099.zz", "(Showing 100 of 150 matching files. Narrow the pattern or path to see the rest.)"]
    assert result.data == {"files": 150, "truncated": True}


async def test_a_name_that_is_no_utf8_is_shown_with_replacements(call, work) -> None:
    Path(os.fsdecode(os.fsencode(work) + b"/caf\xe9.txt")).touch()
    assert (await call("Glob", pattern="*.txt")).output == "caf\ufffd.txt"


async def test_a_cancelled_search_ends_at_the_next_directory(call, tree, monkeypatch) -> None:
    started, cancelled, walked = anyio.Event(), threading.Event(), []

    def opened(root: int, path: str, flags: int) -> int:
        walked.append(path)
        anyio.from_thread.run_sync(started.set)
        cancelled.wait(30)
        return open_beneath(root, path, flags)

    monkeypatch.setattr(walk, "open_beneath", opened)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: call("Glob", pattern="*"))
        await started.wait()
        tasks.cancel_scope.cancel()
        cancelled.set()
    assert walked == [""]


async def test_what_cannot_be_read_is_said(call, tree, monkeypatch) -> None:
    def opened(root: int, path: str, flags: int) -> int:
        if path == "deep":
            raise PermissionError(13, "Permission denied")
        return open_beneath(root, path, flags)

    monkeypatch.setattr(walk, "open_beneath", opened)
    note = "\n(1 files or directories could not be read.)"
    assert (await call("Glob", pattern="*.py", path="sub")).output == "sub/x.py" + note
    assert (await call("Grep", pattern="x", path="sub", type="py")).output == "Found 1 file\nsub/x.py" + note


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("*.py", ("", "*.py")),
        ("src/a/*.py", ("src/a/", "*.py")),
        ("src/x{a,b}/c", ("src/", "x{a,b}/c")),
        ("/a/b.txt", ("/a/", "b.txt")),
        ("**/a", ("", "**/a")),
    ],
)
def test_split_base(pattern, parts) -> None:
    assert split_base(pattern) == parts


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/x/bb", False),
        ("**", "a/b", True),
        ("**/a/**/b", "x/a/a/b", True),
        ("a/*", "a/b/c", False),
        ("*/b", "b", False),
        ("{a,{b,c}d}", "cd", True),
        ("{a,b", "{a,b", True),
        ("[!a]", "b", True),
        ("a.c", "abc", False),
        ("*", "line\nbreak", True),
    ],
)
def test_patterns(pattern, path, matches) -> None:
    assert GlobPattern(pattern).matches(path) is matches


def test_patterns_take_no_exponential_time() -> None:
    assert not GlobPattern("*a" * 60 + "b").matches("a" * 250)
    assert not GlobPattern("**/a/" * 40 + "b").matches("a/" * 200 + "c")
    with pytest.raises(Refused, match="more than 256"):
        GlobPattern("{a,b}" * 40)


names = st.text(alphabet="ab.-", min_size=1, max_size=4).filter(lambda name: name.strip("."))


@given(st.lists(names, min_size=1, max_size=4))
def test_a_plain_path_matches_itself_alone(parts: list[str]) -> None:
    path = "/".join(parts)
    assert GlobPattern(path, anchored=True).matches(path)
    assert not GlobPattern(path, anchored=True).matches(path + "/x")
    assert GlobPattern("**/" + path).matches("x/y/" + path)

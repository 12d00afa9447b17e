from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmos_plugin_tools import grep, grep_worker
from llmos_plugin_tools.settings import ToolsSettings

REQUEST = {
    "pattern": "x",
    "ignore_case": False,
    "multiline": False,
    "output_mode": "files_with_matches",
    "offset": 0,
    "head_limit": 0,
    "max_chars": 100,
}


@pytest.fixture
def tree(work: Path) -> Path:
    files = {
        "top.py": b"import foo\nbar\nfoo\n",
        ".hid.py": b"foo\n",
        "sub/x.py": b"foo = 1\r\n",
        "sub/deep/y.py": b"foo\n",
        "sub/note.md": b"nothing\n",
        ".git/c.py": b"foo\n",
        "bin.dat": b"foo\0",
        "wide.txt": "f\u00f6\u00f6 utf16\n".encode("utf-16"),
        "empty.txt": b"",
    }
    for name, data in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (work / "link.py").symlink_to("top.py")
    return work


FILES = "Found 4 files\n.hid.py\nsub/deep/y.py\nsub/x.py\ntop.py"
LINES = ".hid.py:1:foo\nsub/deep/y.py:1:foo\nsub/x.py:1:foo = 1\ntop.py:1:import foo\ntop.py:3:foo"


@pytest.mark.parametrize(
    ("input", "output"),
    [
        ({}, FILES),
        ({"output_mode": "content"}, LINES),
        (
            {"output_mode": "count"},
            ".hid.py:1\nsub/deep/y.py:1\nsub/x.py:1\ntop.py:2\n\nFound 5 total occurrences across 4 files.",
        ),
        ({"output_mode": "content", "-n": False, "path": "sub"}, "sub/deep/y.py:foo\nsub/x.py:foo = 1"),
        ({"output_mode": "content", "path": "top.py"}, "1:import foo\n3:foo"),
        ({"path": "./top.py"}, "Found 1 file\ntop.py"),
        ({"output_mode": "count", "path": "top.py"}, "top.py:2\n\nFound 2 total occurrences across 1 file."),
        ({"pattern": "zzz"}, "No files found"),
        ({"pattern": "zzz", "output_mode": "content"}, "No matches found"),
        (
            {"pattern": "zzz", "output_mode": "count"},
            "No matches found\n\nFound 0 total occurrences across 0 files.",
        ),
        ({"glob": "*.txt"}, "No files found"),
        ({"glob": "sub/*.py"}, "Found 1 file\nsub/x.py"),
        ({"glob": "/*.py"}, "Found 2 files\n.hid.py\ntop.py"),
        ({"glob": "*.{md,py}", "type": "py", "path": "sub"}, "Found 2 files\nsub/deep/y.py\nsub/x.py"),
        (
            {"type": "py", "head_limit": 1},
            "Found 1 file\n.hid.py\n\n[Showing results with pagination = limit: 1]",
        ),
        (
            {"output_mode": "content", "head_limit": 2, "offset": 1},
            "sub/deep/y.py:1:foo\nsub/x.py:1:foo = 1\n\n[Showing results with pagination = limit: 2, offset: 1]",
        ),
        ({"output_mode": "content", "offset": 4}, "top.py:3:foo\n\n[Showing results with pagination = offset: 4]"),
        (
            {"output_mode": "count", "head_limit": 1},
            ".hid.py:1\n\nFound 5 total occurrences across 4 files.\n\n[Showing results with pagination = limit: 1]",
        ),
        ({"pattern": "bar", "output_mode": "content", "-C": 1}, "top.py-1-import foo\ntop.py:2:bar\ntop.py-3-foo"),
        ({"pattern": "bar", "output_mode": "content", "context": 1, "-A": 0}, "top.py-1-import foo\ntop.py:2:bar"),
        (
            {"output_mode": "content", "-A": "1"},
            LINES.replace("\nsub", "\n--\nsub")
            .replace("\ntop.py:1", "\n--\ntop.py:1")
            .replace("\ntop.py:3", "\ntop.py-2-bar\ntop.py:3"),
        ),
        (
            {"pattern": "FO+", "-i": True, "-o": True, "output_mode": "content", "path": "sub"},
            "sub/deep/y.py:1:foo\nsub/x.py:1:foo",
        ),
        ({"pattern": "o", "-o": True, "output_mode": "content", "path": ".hid.py"}, "1:o\n1:o"),
        ({"pattern": "foo.bar", "multiline": True, "output_mode": "content"}, "top.py:1:import foo\ntop.py:2:bar"),
        ({"pattern": "foo.bar"}, "No files found"),
        ({"pattern": "^bar$", "multiline": True}, "Found 1 file\ntop.py"),
        (
            {"pattern": "o\nb", "multiline": True, "-o": True, "output_mode": "content"},
            "top.py:1:o\ntop.py:2:b",
        ),
        ({"pattern": "1$", "output_mode": "content"}, "sub/x.py:1:foo = 1"),
        ({"pattern": "f\u00f6\u00f6", "output_mode": "content"}, "wide.txt:1:f\u00f6\u00f6 utf16"),
        (
            {"pattern": "", "path": "top.py", "output_mode": "count"},
            "top.py:3\n\nFound 3 total occurrences across 1 file.",
        ),
        ({"pattern": "x*", "path": "top.py", "output_mode": "content", "-o": True}, "No matches found"),
        ({"pattern": "[[:alpha:]]", "path": "empty.txt"}, "No files found"),
    ],
)
async def test_grep(call, tree, input, output) -> None:
    result = await call("Grep", **{"pattern": "foo", **input})
    assert (result.output, result.is_error) == (output, False)


async def test_the_order_is_that_of_paths_not_of_times(call, tree) -> None:
    os.utime(tree / "top.py", (1, 1))
    os.utime(tree / ".hid.py", (2**31, 2**31))
    assert (await call("Grep", pattern="foo")).output == FILES


async def test_errors(call, tree) -> None:
    expected = [
        ({"pattern": "("}, "Not a regular expression: missing ), unterminated subpattern at position 0"),
        ({"pattern": "x", "path": "missing"}, "Path does not exist: missing"),
    ]
    for input, output in expected:
        result = await call("Grep", **input)
        assert (result.output, result.is_error) == (output, True)
    unknown = await call("Grep", pattern="x", type="nosuch")
    assert unknown.is_error
    assert unknown.output.startswith("Unrecognized file type: nosuch. Known types: c, cpp")
    outside = await call("Grep", pattern="x", path="/etc")
    assert outside.is_error
    assert outside.output.startswith("Not allowed to read /etc.")


async def test_adjacent_contexts_are_joined_and_distant_ones_separated(call, work) -> None:
    (work / "a.txt").write_text("".join(f"{number}\n" for number in range(1, 21)))
    result = await call("Grep", pattern="^(3|6|12|13|20)$", path="a.txt", output_mode="content", **{"-C": 1})
    assert result.output.splitlines() == (
        ["2-2", "3:3", "4-4", "5-5", "6:6", "7-7", "--", "11-11", "12:12", "13:13", "14-14", "--", "19-19", "20:20"]
    )


async def test_long_lines_are_left_out(call, work) -> None:
    (work / "a.txt").write_text("x" * 501 + "\nend\n")
    assert (
        await call("Grep", pattern="x", path="a.txt", output_mode="content")
    ).output == "1:[Omitted long matching line]"
    context = await call("Grep", pattern="end", path="a.txt", output_mode="content", **{"-B": 1})
    assert context.output == "1-[Omitted long context line]\n2:end"


async def test_output_is_bounded(call, run, work) -> None:
    run.tools_settings = ToolsSettings(max_output_chars=1000)
    (work / "a.txt").write_text("0123456é9\n" * 5000)
    result = await call("Grep", pattern="0", path="a.txt", output_mode="content", head_limit=0)
    assert len(result.output) < 1200
    assert "1:0123456é9\n" in result.output
    assert result.output.endswith("\n\n[Output cut here; narrow the search or use offset to see the rest.]")
    assert result.data["truncated"] is True


async def test_the_default_limit_is_250_entries(call, work) -> None:
    (work / "a.txt").write_text("x\n" * 300)
    lines = (await call("Grep", pattern="x", path="a.txt", output_mode="content")).output.splitlines()
    assert lines[-3:] == ["250:x", "", "[Showing results with pagination = limit: 250]"]


async def test_files_over_the_limit_are_skipped_and_said(call, work) -> None:
    with (work / "big.txt").open("w") as file:
        file.write("needle\n")
        file.truncate(grep_worker.MAX_FILE_BYTES + 1)
    (work / "small.txt").write_text("needle\n")
    output = (await call("Grep", pattern="needle", type="txt")).output
    assert output == "Found 1 file\nsmall.txt\n(1 files over 10 MB were not searched.)"


async def test_an_exponential_pattern_is_ended(call, work, monkeypatch) -> None:
    monkeypatch.setattr(grep, "TIMEOUT_S", 0.5)
    (work / "a.txt").write_text("a" * 60 + "b\n")
    result = await call("Grep", pattern="(a+)+$")
    assert (result.output, result.is_error) == (
        "The search timed out after 0.5s. Use a simpler pattern or a narrower path.",
        True,
    )


def test_a_search_whose_owner_was_killed_ends_by_itself(work) -> None:
    """Nobody is there who would end it: the bounds that it set itself must."""
    (work / "a.txt").write_text("a" * 60 + "b\n")
    directory = os.open(work, os.O_RDONLY)
    request = {**REQUEST, "pattern": "(a+)+$", "cpu_s": 1, "directory": directory, "files": [["a.txt", "a.txt"]]}
    command = [sys.executable, "-I", "-S", grep_worker.__file__]
    done = subprocess.run(command, input=json.dumps(request).encode(), pass_fds=[directory], check=False, timeout=60)
    os.close(directory)
    assert done.returncode == -signal.SIGXCPU


def test_a_search_has_its_memory_bounded() -> None:
    code = "from llmos_plugin_tools.grep_worker import *; bound(9); x = bytearray(2 * MAX_MEMORY)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("MemoryError\n")


async def test_a_search_process_that_dies_is_a_failure(call, work, monkeypatch, tmp_path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("raise SystemExit(9)")
    monkeypatch.setattr(grep, "WORKER", worker)
    result = await call("Grep", pattern="x")
    assert (result.output, result.is_error) == (
        "The search failed (exit code 9). Use a simpler pattern or a narrower path.",
        True,
    )


def test_a_file_that_vanished_is_counted(work) -> None:
    directory = os.open(work, os.O_RDONLY)
    request = {**REQUEST, "directory": directory, "files": [["gone", "gone"], ["below/gone", "below/gone"]]}
    result = grep_worker.answer(request)
    os.close(directory)
    assert (result["entries"], result["unreadable"], result["more"]) == ([], 2, False)


async def test_no_credential_reaches_the_search_process(call, monkeypatch, tmp_path) -> None:
    seen = tmp_path / "seen.json"
    worker = tmp_path / "worker.py"
    worker.write_text(f"import json, os\njson.dump(dict(os.environ), open({str(seen)!r}, 'w'))\nraise SystemExit(1)")
    monkeypatch.setattr(grep, "WORKER", worker)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-secret")
    await call("Grep", pattern="x")
    assert "PATH" in json.loads(seen.read_text())
    assert "planted-secret" not in seen.read_text()

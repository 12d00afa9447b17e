"""Opening below a directory: the mechanism itself, and what holds when a name changes between two steps."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos_plugin_tools import beneath, grep_worker
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.files import Entry

HAS_OPENAT2 = beneath.has_openat2


@pytest.fixture(params=["kernel", "walk"], autouse=True)
def way(request, monkeypatch) -> str:
    if request.param == "walk":
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    return str(request.param)


@pytest.fixture
def root(work, tmp_path) -> Iterator[int]:
    """The open working directory, with a file, a directory, and links that lead outside and that stay inside."""
    (work / "sub").mkdir()
    (work / "file").touch()
    (work / "link").symlink_to(tmp_path)
    (work / "inside").symlink_to("sub")
    descriptor = os.open(work, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("..", errno.EXDEV),
        (".", errno.EXDEV),
        ("sub/..", errno.EXDEV),
        ("sub/../..", errno.EXDEV),
        ("/etc", errno.EXDEV),
        ("sub//deep", errno.EXDEV),
        ("link", errno.ELOOP),
        ("link/workspace", errno.ELOOP),
        ("inside", errno.ELOOP),
        ("inside/new", errno.ELOOP),
        ("file", errno.ENOTDIR),
        ("file/new", errno.ENOTDIR),
        ("x" * 300, errno.ENAMETOOLONG),
        ("x/" * 2048 + "x", errno.ENAMETOOLONG),
    ],
)
@pytest.mark.parametrize("flags", [beneath.DIRECTORY, beneath.LISTING])
@pytest.mark.parametrize("make", [False, True])
def test_only_plain_paths_are_opened(root, work, path, number, flags, make) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        beneath.open_beneath(root, path, flags, make=make)
    assert caught.value.errno == number
    assert sorted(path.name for path in work.iterdir()) == ["file", "inside", "link", "sub"]
    assert not list((work / "sub").iterdir())


def test_directories_are_opened_and_made(root, work) -> None:
    with pytest.raises(FileNotFoundError):
        beneath.open_beneath(root, "sub/a/b")
    for path, make in (("", False), ("sub", False), ("sub/a/b", True), ("sub/a/b", False)):
        opened = beneath.open_beneath(root, path, beneath.LISTING, make=make)
        status = (work / path).stat()
        assert beneath.identity(opened) == (status.st_dev, status.st_ino)
        with os.scandir(opened) as entries:
            assert {entry.name for entry in entries} == {below.name for below in (work / path).iterdir()}
        os.close(opened)


def test_magic_links_are_not_followed_but_mount_points_are() -> None:
    process, top = os.open("/proc/self", os.O_RDONLY), os.open("/", os.O_RDONLY)
    for path in ("root", "cwd", f"fd/{top}", "root/etc"):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
            beneath.open_beneath(process, path)
        assert caught.value.errno == errno.ELOOP
    mounted = beneath.open_beneath(top, "proc/sys")
    assert beneath.identity(mounted)[0] == Path("/proc").stat().st_dev != Path("/").stat().st_dev
    for descriptor in (process, top, mounted):
        os.close(descriptor)


def test_ancestry_is_that_of_the_directory_as_it_lies_now(root, work) -> None:
    opened = beneath.open_beneath(root, "sub/a/b", make=True)
    (work / "sub/a").rename(work / "moved")
    expected = [(path.stat().st_dev, path.stat().st_ino) for path in (work / "moved/b", work / "moved", work)]
    assert list(beneath.ancestry(opened, 2)) == expected
    os.close(opened)


@pytest.mark.parametrize(
    ("number", "there"), [(errno.ENOSYS, False), (errno.EPERM, False), (errno.EBADF, True), (errno.EINVAL, False)]
)
def test_a_kernel_or_a_filter_without_openat2_is_noticed(monkeypatch, number, there) -> None:
    def opened(root: int, path: str, flags: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(beneath.sys, "platform", "linux")
    monkeypatch.setattr(beneath, "_MACHINES", (os.uname().machine,))
    monkeypatch.setattr(beneath, "_openat2", opened)
    assert HAS_OPENAT2.__wrapped__() is there


def test_what_takes_the_place_of_a_file_is_not_read(root, work, monkeypatch) -> None:
    """It was a regular file when it was looked at, and is something else when it is opened."""
    os.mkfifo(work / "fifo")
    (work / "leads").symlink_to("/etc/passwd")
    monkeypatch.setattr(Entry, "status", lambda self: (work / "file").stat())
    for name, fault in (("fifo", Refused), ("sub", Refused), ("leads", OSError)):
        with pytest.raises(fault):
            Entry(root, name, name).load()


async def test_a_file_that_changed_while_it_was_edited_is_kept(call, work, monkeypatch) -> None:
    load = Entry.load
    (work / "a.txt").write_text("one")

    def loaded(self: Entry) -> tuple[bytes, os.stat_result]:
        result = load(self)
        (work / "b.txt").write_text("two")
        (work / "b.txt").rename(work / "a.txt")
        return result

    monkeypatch.setattr(Entry, "load", loaded)
    result = await call("Edit", file_path="a.txt", old_string="one", new_string="three")
    changed = "a.txt was changed by something else just now; nothing was written. Try again."
    assert (result.output, result.is_error) == (changed, True)
    assert (work / "a.txt").read_text() == "two"
    assert list(work.iterdir()) == [work / "a.txt"]


def test_a_write_is_on_the_disk_before_it_takes_the_name(root, work, monkeypatch) -> None:
    steps: list[object] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        steps.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    def replaced(*names: str, **directories: int) -> None:
        steps.append("replaced")
        replace(*names, **directories)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    Entry(root, "file", "file").replace(b"12345", None)
    assert steps == [5, "replaced"]
    assert (work / "file").read_bytes() == b"12345"


def test_the_search_process_reads_regular_files_below_its_directory_only(root, work, tmp_path) -> None:
    (work / "sub/deep").mkdir()
    lawful = ["c.txt", "sub/b.txt", "sub/deep/a.txt"]
    for name in lawful:
        (work / name).write_text("needle")
    os.mkfifo(work / "fifo")
    (work / "link.txt").symlink_to(tmp_path / "outside.txt")
    paths = ["c.txt", "fifo", "sub/b.txt", "inside/b.txt", "link.txt", "link/outside.txt", "sub", "sub/deep/a.txt"]
    request = {
        "pattern": "needle",
        "ignore_case": False,
        "multiline": False,
        "output_mode": "files_with_matches",
        "offset": 0,
        "head_limit": 0,
        "max_chars": 1000,
        "directory": root,
        "files": [[path, path] for path in paths],
    }
    before = len(list(Path("/proc/self/fd").iterdir()))
    result = grep_worker.answer(request)
    assert (result["entries"], result["unreadable"]) == (lawful, len(paths) - len(lawful))
    assert len(list(Path("/proc/self/fd").iterdir())) == before

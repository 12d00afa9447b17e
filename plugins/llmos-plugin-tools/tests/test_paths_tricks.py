"""Every known way to make a name mean a file elsewhere, tried with every file tool, with and without openat2."""

from __future__ import annotations

import os
import secrets
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llmos_plugin_tools import beneath
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.files import entry
from llmos_plugin_tools.paths import Paths
from llmos_plugin_tools.ruling import RULING, SEALED


@pytest.fixture(params=["kernel", "walk"], autouse=True)
def way(request, monkeypatch) -> str:
    if request.param == "walk":
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    return str(request.param)


@dataclass
class World:
    """A working directory, and a directory outside that holds a file with a marker in it, ``in.txt``."""

    work: Path
    outside: Path
    marker: str = field(default_factory=lambda: f"MARKER-{secrets.token_hex(8)}")
    descriptors: list[int] = field(default_factory=list)

    def link(self, name: str, target: str | Path) -> str:
        (self.work / name).symlink_to(target)
        return name

    def opened(self, path: Path) -> int:
        self.descriptors.append(os.open(path, os.O_RDONLY))
        return self.descriptors[-1]


@pytest.fixture
def world(work, tmp_path, monkeypatch) -> Iterator[World]:
    world = World(work, tmp_path / "outside")
    (world.outside / "below").mkdir(parents=True)
    for directory in (world.outside, world.outside / "below"):
        (directory / "in.txt").write_text(world.marker)
    (work / "sub").mkdir()
    monkeypatch.chdir(world.outside)
    yield world
    for descriptor in world.descriptors:
        os.close(descriptor)


def snapshot(directory: Path) -> list[tuple[str, int, int, int, bytes]]:
    """All that a tool could change there."""
    found = []
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found.append((str(path), status.st_ino, status.st_mode, status.st_mtime_ns, data))
    return found


def chain(world: World, length: int) -> str:
    world.link("chain0", world.outside)
    for number in range(1, length):
        world.link(f"chain{number}", f"chain{number - 1}")
    return f"chain{length - 1}"


def too_deep_to_resolve(world: World) -> str:
    """A link at a path so long that it can be named from the working directory, but not from the root."""
    parts: list[str] = []
    at = os.open(world.work, os.O_RDONLY)
    while 101 * len(parts) < beneath.PATH_MAX - 200:
        parts.append("d" * 100)
        os.mkdir(parts[-1], dir_fd=at)
        below = os.open(parts[-1], os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    parts.append("l" * (beneath.PATH_MAX - 40 - 101 * len(parts)))
    os.symlink(world.outside, parts[-1], dir_fd=at)
    os.close(at)
    path = "/".join(parts)
    assert len(path) + 20 < beneath.PATH_MAX < len(str(world.work)) + len(path)
    return path


OUTSIDE: dict[str, Callable[[World], str]] = {
    "..": lambda world: os.path.relpath(world.outside, world.work),
    ".. behind a directory": lambda world: "sub/../" + os.path.relpath(world.outside, world.work),
    ".. behind nothing": lambda world: "nothing/../" + os.path.relpath(world.outside, world.work),
    "absolute": lambda world: str(world.outside),
    "two slashes": lambda world: "/" + str(world.outside),
    "dots and slashes": lambda world: str(world.outside).replace("/", "/.//"),
    "link": lambda world: world.link("link", world.outside),
    "relative link": lambda world: world.link("link", os.path.relpath(world.outside, world.work)),
    "link below": lambda world: world.link("sub/link", world.outside),
    ".. behind a link": lambda world: world.link("link", world.outside / "below") + "/..",
    "chain of links": lambda world: chain(world, 5),
    "chain longer than the kernel follows": lambda world: chain(world, 60),
    "link to /": lambda world: world.link("link", "/") + str(world.outside),
    "current directory": lambda world: "/proc/self/cwd",
    "current directory of a process": lambda world: f"/proc/{os.getpid()}/cwd",
    "root of a process": lambda world: f"/proc/self/root{world.outside}",
    "link to a root": lambda world: world.link("link", "/proc/self/root") + str(world.outside),
    "descriptor": lambda world: f"/proc/self/fd/{world.opened(world.outside)}",
    "descriptor in /dev": lambda world: f"/dev/fd/{world.opened(world.outside)}",
    "link to a descriptor": lambda world: world.link("link", f"/proc/self/fd/{world.opened(world.outside)}"),
    "too deep to resolve": too_deep_to_resolve,
}


@pytest.mark.parametrize("trick", OUTSIDE)
async def test_no_trick_reaches_outside(call, world, trick) -> None:
    directory = OUTSIDE[trick](world)
    before = snapshot(world.outside)
    attempts = []
    for ending in ("in.txt", "in.txt/", "./in.txt", "below/in.txt", "new.txt", "new/new.txt"):
        path = f"{directory}/{ending}"
        attempts += [
            await call("Read", file_path=path),
            await call("Write", file_path=path, content="x"),
            await call("Edit", file_path=path, old_string="MARKER", new_string="x"),
            await call("Edit", file_path=path, old_string="", new_string="x"),
        ]
    for path in (directory, directory + "/", directory + "/below", directory + "/in.txt"):
        attempts.append(await call("Glob", pattern="*", path=path))
        attempts.append(await call("Grep", pattern="MARKER", path=path, output_mode="content"))
    for result in attempts:
        assert result.is_error
        assert world.marker not in result.output
    for pattern in (f"{directory}/*", "**/in.txt"):
        result = await call("Glob", pattern=pattern)
        assert result.is_error or result.output.startswith("No files found")
    assert (await call("Grep", pattern="MARKER")).output.startswith("No files found")
    assert snapshot(world.outside) == before


FILES: dict[str, Callable[[World], str]] = {
    "link": lambda world: world.link("file", world.outside / "in.txt"),
    "chain": lambda world: world.link("file", world.link("other", world.outside / "in.txt")),
    "missing target": lambda world: world.link("file", world.outside / "new.txt"),
    "descriptor": lambda world: f"/proc/self/fd/{world.opened(world.outside / 'in.txt')}",
    "descriptor in /dev": lambda world: f"/dev/fd/{world.opened(world.outside / 'in.txt')}",
    "link to a descriptor": lambda world: world.link("f", f"/dev/fd/{world.opened(world.outside / 'in.txt')}"),
}


@pytest.mark.parametrize("trick", FILES)
async def test_no_trick_reaches_a_file_outside(call, world, trick) -> None:
    path = FILES[trick](world)
    before = snapshot(world.outside)
    attempts = [
        await call("Read", file_path=path),
        await call("Write", file_path=path, content="x"),
        await call("Edit", file_path=path, old_string="MARKER", new_string="x"),
        await call("Edit", file_path=path, old_string="", new_string="x"),
        await call("Grep", pattern="MARKER", path=path, output_mode="content"),
    ]
    for result in attempts:
        assert result.is_error
        assert result.output.startswith("Not allowed to ")
    assert snapshot(world.outside) == before


async def test_links_that_stay_inside_are_followed(call, work, run) -> None:
    (work / "real/deep").mkdir(parents=True)
    (work / "real/a.txt").write_text("inside")
    (run.workspace / "facts.md").write_text("inside")
    descriptor = os.open(work, os.O_RDONLY)
    links = {
        "relative": "real",
        "absolute": work / "real",
        "chained": "absolute",
        "back": "real/deep/..",
        "round": f"../{work.name}/real",
        "magic": f"/proc/self/fd/{descriptor}/real",
    }
    for name, target in links.items():
        (work / name).symlink_to(target)
        for path in (f"{name}/a.txt", f"{name}/a.txt/", f"./{name}//deep/../a.txt"):
            assert (await call("Read", file_path=path)).output == "1\tinside", path
        assert (await call("Grep", pattern="inside", path=f"{name}/")).output == "Found 1 file\nreal/a.txt"
        assert (await call("Glob", pattern="*.txt", path=name)).output == "real/a.txt"
        written = await call("Write", file_path=f"{name}/new/b.txt", content="inside")
        assert not written.is_error
        assert not (await call("Edit", file_path=f"{name}/new/b.txt", old_string="in", new_string="be")).is_error
        assert (work / "real/new/b.txt").read_text() == "beside"
        (work / "real/new/b.txt").unlink()
    os.close(descriptor)
    (work / "fact").symlink_to(run.workspace / "facts.md")
    assert (await call("Read", file_path="fact")).output == "1\tinside"
    refused = await call("Write", file_path="relative/../fact", content="x")
    assert refused.output.startswith("Not allowed to write relative/../fact.")


@pytest.mark.parametrize("path", ["loop", "loop/", "loop/below", "one", "one/below"])
async def test_links_that_lead_nowhere_are_errors(call, work, path) -> None:
    (work / "loop").symlink_to("loop")
    (work / "one").symlink_to("two")
    (work / "two").symlink_to("one")
    before = sorted(work.iterdir())
    for tool, more in (("Read", {}), ("Write", {"content": "x"}), ("Edit", {"old_string": "a", "new_string": "x"})):
        assert (await call(tool, file_path=path, **more)).is_error
    assert (await call("Glob", pattern="*", path=path)).output == f"Directory does not exist: {path}"
    assert (await call("Grep", pattern="x", path=path)).output == f"Path does not exist: {path}"
    assert (await call("Glob", pattern=f"{path}/*")).output.startswith("No files found")
    assert sorted(work.iterdir()) == before


@pytest.mark.parametrize("path", ["a/" * 3000 + "a", "x" * 300, "x" * 300 + "/y", "y/" + "x" * 300])
async def test_paths_too_long_for_the_system_are_errors(call, work, path) -> None:
    for tool, more in (("Read", {}), ("Write", {"content": "x"}), ("Edit", {"old_string": "", "new_string": "x"})):
        result = await call(tool, file_path=path, **more)
        assert result.is_error
        assert result.output in (f"{tool} failed: File name too long", "File does not exist.")
    for tool in ("Glob", "Grep"):
        assert (await call(tool, pattern="x", path=path)).is_error
    assert [found.name for found in work.rglob("*") if found.name != "y"] == []


async def test_names_may_hold_anything_but_nul(call, work) -> None:
    name = "a\nb \u202e*?[x].txt"
    assert not (await call("Write", file_path=f"{name}/{name}", content="found")).is_error
    assert (await call("Read", file_path=f"{name}/{name}")).output == "1\tfound"
    raw = work / os.fsdecode(b"caf\xe9")
    raw.mkdir()
    (raw / os.fsdecode(b"\xff.txt")).write_text("found")
    found = await call("Grep", pattern="found", output_mode="count")
    assert found.output.endswith("Found 2 total occurrences across 2 files.")
    assert "caf\ufffd/\ufffd.txt:1" in found.output
    for tool, more in (("Read", {"file_path": "a\0b"}), ("Glob", {"pattern": "*", "path": "a\0"})):
        assert (await call(tool, **more)).output == "A path cannot hold a NUL character."


@pytest.mark.parametrize("name", RULING)
async def test_what_rules_the_agent_is_not_written_under_any_name(call, run, work, name, tmp_path) -> None:
    place = run.workspace / name
    place.mkdir(exist_ok=True)
    (place / "secret.md").write_text("needle\n")
    (tmp_path / "alias").symlink_to(tmp_path)
    (work / "door").symlink_to(place)
    run.workdir = tmp_path
    before = snapshot(place)
    for path in (
        f"workspace/{name}",
        f"alias/workspace/{name}",
        f"alias/alias/workspace/projects/../{name}",
        str(place),
        str(tmp_path / "alias" / "workspace" / name),
        "workspace/projects/default/output/door",
        f"/proc/self/root{place}",
    ):
        for file in ("secret.md", "new.md", "new/new.md"):
            written = await call("Write", file_path=f"{path}/{file}", content="x")
            edited = await call("Edit", file_path=f"{path}/{file}", old_string="needle", new_string="x")
            assert written.is_error
            assert edited.is_error
            assert written.output.startswith("Not allowed to write ")
        assert (await call("Read", file_path=f"{path}/secret.md")).is_error is (name in SEALED)
        assert (await call("Glob", pattern="*", path=path)).is_error is (name in SEALED)
    assert snapshot(place) == before


@pytest.mark.parametrize("name", ["llmos.toml", "LLMOS.toml"])
async def test_settings_are_not_written_under_any_name(call, work, name) -> None:
    (work / "sub").mkdir()
    (work / "alias").symlink_to("sub")
    for path in (name, f"alias/{name}", f"{name}/", f"./sub/../{name}", str(work / name)):
        result = await call("Write", file_path=path, content="x")
        assert result.output == f"Not allowed to write {path}: it holds the settings that rule the agent."


@pytest.mark.parametrize("name", SEALED)
async def test_a_sealed_directory_is_known_by_what_it_is(call, run, work, name) -> None:
    """As where a file system ignores case, or where it is mounted a second time: its path does not tell."""
    (work / "box").mkdir()
    paths = Paths(run.workdir, run.workspace)
    files = [paths.readable("box/secret.md"), paths.writable("box/secret.md"), paths.writable("box/new/new.md")]
    directory = paths.readable("box")
    (work / "box").rmdir()
    (run.workspace / name).rename(work / "box")
    (run.workspace / name).symlink_to(work / "box")
    for place in files:
        refusal = rf"^Not allowed to (read|write) {place.given}\. Tools may "
        with pytest.raises(Refused, match=refusal), entry(place, make=True):
            pass
    with pytest.raises(Refused, match=r"^Not allowed to read box\. Tools may "):
        directory.open()
    assert (await call("Glob", pattern="secret.md")).output == "No files found"
    assert (await call("Grep", pattern="needle")).output == "No files found"


async def test_writing_replaces_the_name_never_the_inode(call, world) -> None:
    other = world.outside / "in.txt"
    for tool, more in (
        ("Write", {"content": "mine"}),
        ("Edit", {"old_string": world.marker, "new_string": "mine"}),
    ):
        (world.work / "linked.txt").unlink(missing_ok=True)
        os.link(other, world.work / "linked.txt")
        before = other.stat()
        assert not (await call(tool, file_path="linked.txt", **more)).is_error
        assert (world.work / "linked.txt").read_text() == "mine"
        assert (other.read_text(), other.stat().st_nlink) == (world.marker, 1)
        assert (other.stat().st_ino, other.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_what_is_no_file_is_never_opened(call, run, work, monkeypatch) -> None:
    os.mkfifo(work / "fifo")
    monkeypatch.chdir(work)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    for path in ("fifo", "socket"):
        for tool, more in (
            ("Read", {}),
            ("Write", {"content": "x"}),
            ("Edit", {"old_string": "a", "new_string": "b"}),
            ("Edit", {"old_string": "", "new_string": "b"}),
        ):
            assert (await call(tool, file_path=path, **more)).output == f"{path} is not a regular file."
        assert (await call("Glob", pattern="*", path=path)).output == f"Path is not a directory: {path}"
        assert (await call("Grep", pattern="x", path=path)).output == f"Path does not exist: {path}"
    assert (await call("Glob", pattern="*")).output == "No files found"
    run.workdir = Path("/dev")
    for device in ("null", "zero", "tty"):
        assert (await call("Read", file_path=device)).output == f"{device} is not a regular file."


async def test_a_working_directory_that_is_gone_is_made_again_by_writing_only(call, work) -> None:
    work.rmdir()
    assert (await call("Read", file_path="a.txt")).output == "File does not exist."
    assert (await call("Glob", pattern="*")).output == "Directory does not exist: ."
    assert (await call("Grep", pattern="x")).output == "Path does not exist: ."
    assert not work.exists()
    assert not (await call("Write", file_path="sub/a.txt", content="x")).is_error
    assert (work / "sub/a.txt").read_text() == "x"


async def test_no_descriptor_is_left_open(call, world) -> None:
    await call("Grep", pattern="x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    world.link("link", world.outside)
    for path in ("new/a.txt", "missing/a.txt", "link/in.txt", "sub", ".", "x" * 300, "new/a.txt/b"):
        await call("Read", file_path=path)
        await call("Write", file_path=path, content="x")
        await call("Edit", file_path=path, old_string="x", new_string="y")
        await call("Edit", file_path=path, old_string="x", new_string="y")
        await call("Glob", pattern="*", path=path)
        await call("Grep", pattern="x", path=path)
    await call("Grep", pattern="(")
    assert len(list(Path("/proc/self/fd").iterdir())) == before

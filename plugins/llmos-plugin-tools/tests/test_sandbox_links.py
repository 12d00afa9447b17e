"""A command puts a link in the place of what the next command may reach, or of what is removed at the end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.sandbox import landlock, runner
from llmos_plugin_tools.sandbox.places import resolved
from llmos_plugin_tools.sandbox.policy import Policy
from llmos_plugin_tools.sandbox.service import opened
from llmos_plugin_tools.sandbox.trees import Tree
from llmos_plugin_tools.settings import SandboxSettings, ToolsSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

Bash = Callable[[str], Awaitable[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a key, and a project with programs of its own on the path."""
    made = tmp_path / "home"
    for name in (".ssh", "proj/bin", "proj/cache"):
        (made / name).mkdir(parents=True)
    (made / ".ssh/key").write_text("S3CRET")
    (tmp_path / "alias").symlink_to(made)
    (tmp_path / "far").symlink_to(made / "proj/bin")
    monkeypatch.setenv("HOME", str(made))
    path = [made / "proj/bin", tmp_path / "alias/proj/bin", tmp_path / "far", os.environ["PATH"]]
    monkeypatch.setenv("PATH", ":".join(map(str, path)))
    return made


@pytest.fixture(params=["landlock", "bubblewrap"])
async def bash(request: pytest.FixtureRequest, home: Path, call, run) -> Bash:
    if not await works(request.param):
        pytest.skip(f"{request.param} does not work here")
    run.workdir = home / "proj"
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=request.param))

    async def bash(command: str) -> str:
        return (await call("Bash", command=command)).output

    return bash


async def works(kind: str) -> bool:
    async with opened(SandboxSettings(kind=kind)) as tried:
        return tried.choice.kind is not None


def every_way(home: Path, tmp_path: Path) -> str:
    ways = (home / ".ssh", home / "proj/bin", tmp_path / "alias/proj/bin", tmp_path / "far")
    return "cat " + " ".join(f"{way}/key" for way in ways)


@pytest.mark.parametrize("earlier", [True, False], ids=["in an earlier run", "by the command before"])
async def test_a_link_in_the_place_of_programs_is_not_followed(
    bash: Bash, home: Path, tmp_path: Path, earlier: bool
) -> None:
    if earlier:
        (home / "proj/bin").rmdir()
        (home / "proj/bin").symlink_to(home / ".ssh")
    else:
        assert "S3CRET" not in await bash(f"rmdir bin; ln -s {home}/.ssh bin")
    assert (home / "proj/bin/key").read_text() == "S3CRET"
    assert "S3CRET" not in await bash(every_way(home, tmp_path))


async def test_programs_of_the_project_can_be_called(bash: Bash) -> None:
    assert await bash("echo 'echo hello' > bin/greet; chmod +x bin/greet; greet") == "hello"


def test_where_a_path_leads_is_known_with_what_it_leads_over(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/up").symlink_to("../a/b")
    (tmp_path / "far").symlink_to(tmp_path / "a/up")
    leads_to, passed = resolved(tmp_path / "far/../b/new")
    assert leads_to == tmp_path / "a/b/new"
    assert {tmp_path / "far", tmp_path / "a/up", tmp_path / "a/b"} < set(passed)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="symbolic links"):
        resolved(tmp_path / "circle")


async def test_a_link_in_the_place_of_what_may_be_written_is_refused(bash: Bash, home: Path, run) -> None:
    settings = run.tools_settings.sandbox.model_copy(update={"write": ("~/proj/cache",)})
    run.tools_settings = ToolsSettings(sandbox=settings)
    plant = f"echo x > {home}/.ssh/planted"
    assert "planted" in await bash(f"{plant}; rm -r cache; ln -s {home}/.ssh cache")
    assert (home / "proj/cache").is_symlink()
    assert "planted" in await bash(f"{plant}; echo x > cache/planted")
    assert not (home / ".ssh/planted").exists()
    with pytest.raises(Refused, match="is or lies below a symbolic link"):
        Policy(settings, home.parent / "own").bounds(home / "proj", run.workspace)


def test_a_place_is_written_though_the_home_is_reached_by_a_link(home: Path, run, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(home.parent / "alias"))
    policy = Policy(SandboxSettings(write=("~/proj/cache",)), home.parent / "own")
    assert str(home / "proj/cache") in policy.bounds(run.workdir, run.workspace).write


def test_no_rule_is_made_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "link").symlink_to("place")
    ruled: list[str] = []
    call = landlock.syscall

    def watched(name: str, *arguments: object) -> int:
        if name != "landlock_add_rule":
            return call(name, *arguments) if name == "openat2" else os.open("/", os.O_RDONLY)
        ruled.append(name)
        return 0

    monkeypatch.setattr(landlock, "syscall", watched)
    for place, rules in ((tmp_path / "link", 0), (tmp_path / "place", 1)):
        os.close(landlock.ruleset([str(place)], [], [], network=True))
        assert len(ruled) == rules


@pytest.mark.parametrize("place", ["workdir", "write"])
async def test_the_runs_own_directory_is_in_no_other_that_may_be_written(
    home: Path, call, run, monkeypatch, place: str
) -> None:
    (home / "proj/tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home / "proj/tmp"))
    if place == "workdir":
        run.workdir = home / "proj"
    else:
        run.tools_settings = ToolsSettings(sandbox=SandboxSettings(write=("~/proj",)))
    result = await call("Bash", command="touch here")
    assert "holds the run's own directory" in result.output
    assert not (run.workdir / "here").exists()


async def test_a_working_directory_that_leads_elsewhere_later_is_refused(call, home: Path, run) -> None:
    run.workdir = home / "proj/sub"
    run.workdir.mkdir()
    run.workdir.rename(home / "proj/old")
    run.workdir.symlink_to(home / ".ssh")
    assert "leads to" in (await call("Bash", command="cat key; touch planted")).output
    assert not (home / ".ssh/planted").exists()
    run.workdir.unlink()
    (home / "proj/old").rename(run.workdir)
    assert (await call("Bash", command="echo on")).output == "on"
    run.workdir = home.parent / "alias/proj/sub"
    run.is_copy = True
    assert (await call("Bash", command="echo on")).output == "on"


async def test_at_the_end_what_is_in_the_place_of_the_runs_own_directory_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the supervisor removes it, or we do after its death."""
    monkeypatch.setattr(runner, "_END_S", 0.5)  # it cannot be removed any more
    for killed in (True, False):
        async with opened(SandboxSettings(kind="none")) as sandbox:
            sandbox.own.rename(tmp_path / f"moved{killed}")
            sandbox.own.mkdir()
            (sandbox.own / "theirs").touch()
            if killed:
                os.kill(sandbox.process_id, signal.SIGKILL)
                await sandbox.ended()
        assert (sandbox.own / "theirs").exists()
        shutil.rmtree(sandbox.own)
        assert list((tmp_path / f"moved{killed}").iterdir()) == []


def test_what_is_put_in_the_place_of_a_tree_stays(home: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "a/f").touch()
    (top / "a/l").symlink_to(home / ".ssh")
    tree = Tree.at(str(top))
    top.rename(tmp_path / "moved")
    top.symlink_to(home / ".ssh")
    before = (home / ".ssh").stat().st_mode
    with pytest.raises(NotADirectoryError):
        tree.remove()
    tree.close()
    assert list((tmp_path / "moved").iterdir()) == []
    assert ((home / ".ssh").stat().st_mode, (home / ".ssh/key").read_text()) == (before, "S3CRET")
    with pytest.raises(NotADirectoryError):
        Tree.at(str(top))


@pytest.mark.parametrize("swapped", ["a", "b"])
def test_a_directory_that_becomes_a_link_meanwhile_is_not_entered(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """Between its being seen and its being opened: one in the top directory, and one below."""
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    tree, open_name = Tree.at(str(top)), os.open

    def late(path: str, flags: int, *arguments: int, **more: int) -> int:
        if path == swapped:
            place = next(top.rglob(swapped))
            if not place.is_symlink():
                shutil.rmtree(place)
                place.symlink_to(home / ".ssh")
        return open_name(path, flags, *arguments, **more)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(NotADirectoryError):
        tree.remove()
    monkeypatch.undo()
    tree.remove()
    tree.close()
    assert not top.exists()
    assert (home / ".ssh/key").read_text() == "S3CRET"


def test_a_tree_may_be_deeper_than_descriptors_and_calls_reach(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    at = os.open(tmp_path / "top", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    tree = Tree.at(str(tmp_path / "top"))
    tree.remove()
    tree.close()
    assert not (tmp_path / "top").exists()

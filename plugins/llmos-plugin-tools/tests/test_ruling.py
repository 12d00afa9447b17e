"""LLM OS's own code and its user's files for it, where the working directory holds them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llmos_plugin_tools import ruling
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.ruling import code_places
from llmos_plugin_tools.sandbox.policy import Policy
from llmos_plugin_tools.settings import SandboxSettings

OF_USER = ("config/llmos/config.toml", "config/llmos/credentials.toml", "data/llmos/seal.key", "data/llmos/new/x")
OF_CODE = ("site/llmos_plugin_made/plugin.py", "site/llmos_plugin_made/new.py")


@pytest.fixture
def folder(run, tmp_path, monkeypatch) -> Path:
    """A working directory with the user's files, a plugin's code, and a workspace elsewhere."""
    made = tmp_path / "folder"
    for name in ("config/llmos", "data/llmos", "site/llmos_plugin_made"):
        (made / name).mkdir(parents=True)
    for name in ("config/llmos/config.toml", "data/llmos/seal.key", "site/llmos_plugin_made/plugin.py"):
        (made / name).write_text("ruling")
    info = made / "site/llmos_plugin_made-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llmos-plugin-made\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llmos.plugins]\nmade = llmos_plugin_made.plugin\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(made / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(made / "data"))
    monkeypatch.syspath_prepend(str(made / "site"))
    run.workdir = made
    return made


@pytest.mark.parametrize("name", [*OF_USER, *OF_CODE])
async def test_file_tools_do_not_write_them(call, folder, name) -> None:
    (folder / "alias").symlink_to(folder)
    for path in (name, str(folder / name), f"alias/{name}", f"site/../{name}"):
        for tool, more in (("Write", {"content": "x"}), ("Edit", {"old_string": "ruling", "new_string": "x"})):
            result = await call(tool, file_path=path, **more)
            assert result.is_error
            assert "there LLM OS keeps its code, or what its user has set" in result.output
    for found in folder.rglob("*.*"):
        assert found.is_dir() or found.read_text() != "x"
    assert not (await call("Write", file_path="other.py", content="x")).is_error


@pytest.mark.parametrize("name", ["site/other.py", "site/other-1.0.dist-info/entry_points.txt"])
async def test_no_plugin_is_put_where_python_looks_for_it(call, folder, run, name) -> None:
    assert (await call("Write", file_path=name, content="x")).is_error
    assert not (folder / name).exists()
    run.workdir = folder / "site"
    assert (await call("Write", file_path=name.removeprefix("site/"), content="x")).is_error
    assert (await call("Bash", command="touch here")).output.startswith("No command can run: ")


async def test_a_program_has_its_workspace_below_it(call, folder, run, monkeypatch) -> None:
    """As one that is started with ``python program.py`` or ``python -c``."""
    work = folder / "site/workspace/output"
    work.mkdir(parents=True)
    monkeypatch.chdir(folder / "site")
    monkeypatch.syspath_prepend("")
    run.workdir = work
    assert not (await call("Write", file_path="a.txt", content="x")).is_error
    assert not (await call("Bash", command="cat a.txt")).is_error
    run.workdir = folder / "work"
    run.workdir.mkdir()
    monkeypatch.chdir(run.workdir)
    assert (await call("Write", file_path="a.py", content="x")).is_error


async def test_no_command_runs_where_they_lie(call, folder, run) -> None:
    for place in ("", "config", "config/llmos", "config/llmos/new", "data", "site", "site/llmos_plugin_made"):
        run.workdir = folder / place
        run.workdir.mkdir(exist_ok=True)
        result = await call("Bash", command="echo x > here")
        assert result.output.startswith("No command can run: "), place
        assert not (run.workdir / "here").exists()
    run.workdir = folder / "work"
    run.workdir.mkdir()
    assert not (await call("Bash", command="echo x > here")).is_error


def test_the_python_and_the_core_that_run_are_among_them() -> None:
    places = code_places(Path(sys.prefix))
    assert Path(sys.prefix) in places
    assert any((place / "gate.py").exists() or (place / "kernel/gate.py").exists() for place in places)


def test_elsewhere_the_metadata_of_what_is_installed_is_not_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place and not tmp_path.is_relative_to(place)])
    monkeypatch.setattr(ruling, "_code", lambda *_: pytest.fail("it was read"))
    assert code_places(tmp_path) == ()


async def test_a_workspace_among_the_users_files_is_worked_in(call, folder, run) -> None:
    """As is the default: it lies in the data directory."""
    run.workspace = folder / "data/llmos/workspace"
    run.workdir = run.workspace / "projects/default/output"
    run.workdir.mkdir(parents=True)
    assert not (await call("Write", file_path="a.txt", content="x")).is_error
    assert not (await call("Bash", command="cat a.txt > b.txt")).is_error
    run.workdir = folder
    assert not (
        await call("Write", file_path="data/llmos/workspace/projects/default/output/a.txt", content="y")
    ).is_error
    assert (await call("Write", file_path="data/llmos/seal.key", content="y")).is_error


def test_keys_are_not_opened_with_what_they_lie_in(run, folder, tmp_path) -> None:
    run.workspace = folder / "data/llmos/workspace"
    work = run.workspace / "projects/default/output"
    work.mkdir(parents=True)
    for given in ((str(folder),), (str(folder / "data"),), (str(folder / "data/llmos"),)):
        bounds = Policy(SandboxSettings(read=given), tmp_path / "own").bounds(work, run.workspace)
        opened = [Path(place) for place in bounds.read]
        for name in ("config/llmos/config.toml", "data/llmos/seal.key"):
            assert not any((folder / name).is_relative_to(place) for place in opened), given
        assert any(work.is_relative_to(place) for place in opened)


def test_a_sealed_directory_that_is_a_link_rules_where_it_leads(run, tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere/memories"
    elsewhere.parent.mkdir()
    (run.workspace / "memories").rename(elsewhere)
    (run.workspace / "memories").symlink_to(elsewhere)
    policy = Policy(SandboxSettings(read=(str(tmp_path),)), tmp_path / "own")
    opened = policy.bounds(run.workdir, run.workspace).read
    assert not any(elsewhere.is_relative_to(place) for place in opened)
    with pytest.raises(Refused, match="holds what rules the agent"):
        policy.bounds(elsewhere.parent, run.workspace)

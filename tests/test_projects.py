"""Projects: made once, found again, never outside the workspace; ``llmos projects`` shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos_core import LLMOS, UsageError, WorkspaceError
from llmos_core.host.settings import SettingsFile
from llmos_core.workspace import Workspace
from tests.cli_fixtures import Llmos, environment, home, llmos

__all__ = ["environment", "home", "llmos"]

DESCRIPTION = "Wetterdaten, 日本 🙂: *mean* & extremes"


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    workspace = Workspace(root=tmp_path / "space")
    workspace.open()
    return workspace


def test_a_project_is_made_with_its_places_and_says_what_it_is_for(space: Workspace) -> None:
    project = space.create_project("data_analysis", f"  {DESCRIPTION}\n")
    assert project.root == space.root / "projects/data_analysis"
    assert sorted(path.name for path in project.root.iterdir()) == [
        "README.md",
        "components",
        "memory",
        "output",
        "state",
    ]
    assert project.description == DESCRIPTION
    assert [found.name for found in space.projects()] == ["data_analysis"]


def test_made_twice_it_keeps_what_it_holds(space: Workspace) -> None:
    project = space.create_project("p", "For figures")
    (project.output / "result").write_text("42")
    project.about.write_text("# p\n\nFor figures\n\nand my own notes\n")
    assert space.create_project("p") == project
    assert space.create_project("p", "For figures\n\nand my own notes") == project
    with pytest.raises(WorkspaceError, match="with another description") as caught:
        space.create_project("p", "For words")
    assert str(project.about) in caught.value.why
    assert project.about.read_text() == "# p\n\nFor figures\n\nand my own notes\n"
    assert (project.output / "result").read_text() == "42"


def test_a_readme_of_ones_own_is_never_written_over(space: Workspace) -> None:
    project = space.create_project("p", "For figures")
    project.about.write_text("# My title\n\nFor figures\n")
    assert space.create_project("p", "For figures").about.read_text() == "# My title\n\nFor figures\n"


def test_lines_of_a_description_are_kept_as_they_are(space: Workspace) -> None:
    text = "one\n\ntwo\r\nthree\tfour"
    assert space.create_project("p", text).description == text
    assert space.create_project("p", text).description == text


def test_a_description_that_is_no_text_makes_nothing(space: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="not valid UTF-8"):
        space.create_project("p", "\udcff")
    assert list(space.projects()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "a b", "-p", "é", "x" * 65])
def test_wrong_names_make_nothing(space: Workspace, name: str) -> None:
    with pytest.raises(WorkspaceError, match="is no project name"):
        space.create_project(name, "text")
    assert not (space.root / "projects").exists()


@pytest.mark.parametrize("place", ["", "output", "components"])
def test_a_file_in_the_way_is_told_and_kept(space: Workspace, place: str) -> None:
    path = space.root / "projects/p" / place
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(WorkspaceError, match="cannot be made"):
        space.create_project("p", "text")
    assert path.read_text() == "mine"


def test_links_lead_nowhere(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (space.root / "projects").mkdir()
    (space.root / "projects/led").symlink_to(tmp_path / "other")
    with pytest.raises(WorkspaceError, match="is a symbolic link"):
        space.create_project("led", "text")
    assert list((tmp_path / "other").iterdir()) == []
    assert list(space.projects()) == []


def test_what_is_no_project_is_not_listed(space: Workspace) -> None:
    places = space.root / "projects"
    (places / "a.b").mkdir(parents=True)
    (places / "file").touch()
    (places / "b").mkdir()
    (places / "a").mkdir()
    assert [(project.name, project.description) for project in space.projects()] == [("a", ""), ("b", "")]


async def test_the_python_api_makes_projects(tmp_path: Path) -> None:
    system = LLMOS(tmp_path / "space", settings=SettingsFile(), discover=False)
    assert system.create_project("demo", DESCRIPTION).description == DESCRIPTION
    with pytest.raises(UsageError, match="has no workspace"):
        LLMOS.in_memory().create_project("demo")


def test_the_commands(llmos: Llmos, home: Path) -> None:
    empty = llmos("projects", "list")
    assert (empty.returncode, empty.stdout) == (0, b"")
    assert b"llmos projects create NAME" in empty.stderr
    made = llmos("projects", "create", "demo", "--description", DESCRIPTION)
    assert made.returncode == 0
    assert f"The project demo was made: {home}/workspace/projects/demo\n".encode() == made.stdout
    assert b"is there already" in llmos("projects", "create", "demo").stdout
    assert DESCRIPTION in llmos("projects", "list").stdout.decode()
    assert DESCRIPTION in llmos("projects", "show", "demo").stdout.decode()
    place = f"{home}/workspace/projects/demo"
    data = {"name": "demo", "description": DESCRIPTION, "directory": place, "output": f"{place}/output"}
    assert json.loads(llmos("projects", "list", "--json").stdout) == [data]
    for command in ("show", "create"):
        assert json.loads(llmos("projects", command, "demo", "--json").stdout) == data


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["show", "nope"], ["Error: There is no project nope.", "Make it: llmos projects create nope"]),
        (["show", "../x"], ["Error: '../x' is no project name.", "", ""]),
        (["create", "a b"], ["Error: 'a b' is no project name.", "", ""]),
    ],
)
def test_errors_of_the_commands(llmos: Llmos, home: Path, arguments: list[str], lines: list[str]) -> None:
    done = llmos("projects", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    told = done.stderr.decode().splitlines()
    assert len(told) == len(lines)
    assert all(line in (wanted, line if not wanted else "") for line, wanted in zip(told, lines, strict=True))
    failed = json.loads(llmos("projects", *arguments, "--json").stdout)
    assert failed["error"]["exit_code"] == 2
    assert not (home / "workspace/projects").exists()


def test_a_description_cannot_steer_the_terminal(llmos: Llmos) -> None:
    llmos("projects", "create", "demo", "--description", "\x1b[31mred")
    for arguments in (["list"], ["show", "demo"]):
        assert b"\x1b" not in llmos("projects", *arguments).stdout

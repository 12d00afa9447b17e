"""The workspace: names stay inside it, and what rules the agent stays out of its reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import WorkspaceError
from llmos_core.workspace import Workspace, find_workspace, new_run_id


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    workspace = Workspace(root=tmp_path / "space")
    workspace.open()
    return workspace


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "x" * 65, "a b", "-p", "é", "a\n", "a.b"]
)
def test_names_that_are_no_project(space: Workspace, name: str) -> None:
    with pytest.raises(WorkspaceError, match="is no project name"):
        space.project(name)


@given(st.text(max_size=70))
def test_every_accepted_name_stays_inside(name: str) -> None:
    space = Workspace(root=Path("/space"))
    try:
        project = space.project(name)
    except WorkspaceError:
        return
    assert Path(os.path.normpath(project.root)) == project.root
    assert project.root.parent == Path("/space/projects")


def test_a_workspace_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="is not a directory"):
        Workspace(root=tmp_path / "file").open()
    with pytest.raises(WorkspaceError, match="is not a directory"):
        Workspace(root=tmp_path / "file" / "below").open()


@pytest.mark.parametrize("inside", [".", "..", "memories", "memories/traces", "state", "agents"])
def test_what_rules_the_agent_cannot_be_its_working_directory(space: Workspace, inside: str) -> None:
    directory = space.root / inside
    directory.mkdir(parents=True, exist_ok=True)
    with pytest.raises(WorkspaceError, match="holds what rules the agent"):
        space.working_directory(space.project("default"), str(directory))


def test_a_link_to_what_rules_the_agent_is_seen_through(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "innocent").symlink_to(space.memories)
    with pytest.raises(WorkspaceError, match="holds what rules the agent"):
        space.working_directory(space.project("default"), str(tmp_path / "innocent"))


def test_the_default_is_the_projects_output(space: Workspace, tmp_path: Path) -> None:
    project = space.project("p")
    assert space.working_directory(project, None) == (space.root / "projects/p/output").resolve()
    other = tmp_path / "other"
    other.mkdir()
    assert space.working_directory(project, str(other)) == other.resolve()
    with pytest.raises(WorkspaceError, match="is not there"):
        space.working_directory(project, str(tmp_path / "missing"))


def test_run_ids_name_their_journal(space: Workspace) -> None:
    run_id = new_run_id()
    assert space.journal(run_id).parent.parent == space.sessions
    for wrong in ("", "../../etc/passwd", f"{run_id}/x", "2026-01-01"):
        with pytest.raises(WorkspaceError, match="is no run id"):
            space.journal(wrong)


def test_runs_come_newest_first(space: Workspace) -> None:
    ids = ["2026-01-02-000000-aaaaaa", "2026-01-01-235959-bbbbbb", "2026-01-02-000001-cccccc"]
    for run_id in ids:
        path = space.journal(run_id)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        space.journal(f"{run_id}.verify").touch()
    assert [path.stem for path in space.journals()] == [ids[2], ids[0], ids[1]]


def test_where_a_workspace_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("LLMOS_WORKSPACE", raising=False)
    assert find_workspace(None, None, None).root == tmp_path / "data/llmos/workspace"
    (tmp_path / "workspace").mkdir()
    assert find_workspace(None, None, None).root == tmp_path / "workspace"
    assert find_workspace(None, tmp_path / "sub/llmos.toml", "w").root == tmp_path / "sub/w"
    monkeypatch.setenv("LLMOS_WORKSPACE", str(tmp_path / "env"))
    assert find_workspace(None, None, "w").root == tmp_path / "env"
    assert find_workspace(tmp_path / "given", None, "w").root == tmp_path / "given"


def test_a_project_that_is_a_link_is_refused(space: Workspace) -> None:
    (space.root / "projects").mkdir()
    (space.root / "projects/led").symlink_to(space.memories)
    with pytest.raises(WorkspaceError, match="is a symbolic link"):
        space.project("led")
    (space.root / "projects/p").mkdir()
    (space.root / "projects/p/output").symlink_to(space.memories)
    with pytest.raises(WorkspaceError, match="is a symbolic link"):
        space.project("p")

from __future__ import annotations

from pathlib import Path

import pytest

from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.paths import Paths

WRITERS = [("Write", {"content": "x"}), ("Edit", {"old_string": "needle", "new_string": "x"})]


def outside(work: Path) -> Path:
    return work.parents[3] / "outside.txt"


@pytest.mark.parametrize(("tool", "more"), WRITERS)
async def test_writing_stays_in_the_working_directory(call, work, run, tool, more) -> None:
    (run.workspace / "facts.md").write_text("needle\n")
    (work / "link.txt").symlink_to(outside(work))
    (work / "directory").symlink_to(outside(work).parent)
    (work / "sub").mkdir()
    escapes = [
        "../../../facts.md",
        "sub/../../../../../outside.txt",
        str(outside(work)),
        str(run.workspace / "facts.md"),
        "link.txt",
        "directory/outside.txt",
        "directory/new/file.txt",
        "directory/../outside.txt",
        "~/llmos-was-here.txt",
        "/proc/self/cwd/../outside.txt",
    ]
    for path in escapes:
        result = await call(tool, file_path=path, **more)
        assert result.is_error, path
        assert result.output.startswith(
            f"Not allowed to write {path}. Tools may write in the working directory only"
        ), path
    assert outside(work).read_text() == "needle\n"
    assert (run.workspace / "facts.md").read_text() == "needle\n"
    assert sorted(path.name for path in outside(work).parent.iterdir()) == ["outside.txt", "workspace"]


async def test_reading_reaches_workdir_and_workspace_only(call, work, run) -> None:
    (run.workspace / "facts.md").write_text("a fact")
    (work / "link.txt").symlink_to(outside(work))
    (work / "fact.md").symlink_to(run.workspace / "facts.md")
    for path in ("../../../facts.md", str(run.workspace / "facts.md"), "fact.md"):
        assert (await call("Read", file_path=path)).output == "1\ta fact"
    sealed = str(run.workspace / "memories" / "secret.md")
    for path in (
        "../../../../outside.txt",
        str(outside(work)),
        "link.txt",
        "/etc/passwd",
        sealed,
        "../../../state/secret.md",
    ):
        result = await call("Read", file_path=path)
        assert result.is_error, path
        assert result.output == (
            f"Not allowed to read {path}. "
            "Tools may read the working directory and the workspace, except its memories/ and state/."
        )


async def test_a_symlinked_workspace_works_and_is_not_shown_resolved(call, run, tmp_path) -> None:
    real = run.workspace
    run.workspace = tmp_path / "alias"
    run.workspace.symlink_to(real)
    (real / "facts.md").write_text("a fact")
    await call("Write", file_path="a.txt", content="x")
    await call("Write", file_path=str(run.workspace / "projects/default/output/b.txt"), content="x")
    assert (await call("Glob", pattern="*")).output == "a.txt\nb.txt"
    assert (await call("Glob", pattern="*.md", path=str(run.workspace))).output == str(run.workspace / "facts.md")


@pytest.mark.parametrize(
    ("tool", "input"),
    [
        ("Write", {"file_path": "a.txt", "content": "x"}),
        ("Edit", {"file_path": "a.txt", "old_string": "x", "new_string": "y"}),
        ("Read", {"file_path": "a.txt"}),
        ("Glob", {"pattern": "*"}),
        ("Grep", {"pattern": "x"}),
    ],
)
async def test_a_link_in_the_place_of_the_working_directory_is_not_followed(call, run, tmp_path, tool, input) -> None:
    """It was resolved when the run began: another run, in a directory above it, put the link there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.txt").write_text("x")
    run.workdir.rename(tmp_path / "away")
    run.workdir.symlink_to(tmp_path / "elsewhere")
    result = await call(tool, **input)
    assert result.is_error
    assert "leads to" in result.output
    assert (tmp_path / "elsewhere/a.txt").read_text() == "x"


async def test_what_rules_the_agent_is_sealed_even_inside_the_working_directory(call, run) -> None:
    run.workdir = run.workspace.parent
    assert not (await call("Write", file_path="workspace/note.md", content="x")).is_error
    for name in ("memories", "state"):
        path = f"workspace/{name}/secret.md"
        assert (await call("Write", file_path=path, content="x")).is_error
        assert (await call("Read", file_path=path)).is_error
    assert (await call("Glob", pattern="**/secret.md")).output == "No files found"
    assert "secret.md" not in (await call("Grep", pattern="needle")).output


def test_a_scratch_copy_below_a_sealed_directory_is_usable(run) -> None:
    scratch = run.workspace / "state" / "scratch"
    scratch.mkdir()
    paths = Paths(scratch, run.workspace)
    assert paths.writable("a.txt").path == scratch.resolve() / "a.txt"
    assert paths.readable("a.txt").path == scratch.resolve() / "a.txt"
    with pytest.raises(Refused):
        paths.readable("../secret.md")


async def test_odd_paths_are_refused_with_words(call, work) -> None:
    (work / "loop").symlink_to("loop")
    (work / "file").write_text("x")
    for path in ("a\0b", "x" * 300, "loop", "file/below", "loop/below"):
        for tool, more in [("Read", {}), *WRITERS]:
            result = await call(tool, file_path=path, **more)
            assert result.is_error
            assert result.output


@pytest.mark.parametrize("tool", ["Write", "Edit"])
async def test_the_settings_file_is_not_written(call, work, tool) -> None:
    given = {"content": "x"} if tool == "Write" else {"old_string": "", "new_string": "x"}
    result = await call(tool, file_path="sub/llmos.toml", **given)
    assert result.is_error
    assert "holds the settings" in result.output
    assert not (work / "sub/llmos.toml").exists()

"""Paths that tools take, also through links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmos_plugin_security.judge import Judge
from llmos_plugin_security.places import World

WRITES: dict[str, dict[str, Any]] = {
    "Write": {"content": ""},
    "Edit": {"old_string": "a", "new_string": "b"},
    "NotebookEdit": {"new_source": ""},
}


@pytest.mark.parametrize("tool", WRITES)
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../x", "a/../../x", "~/.bashrc", "~", "/", ".", "", "\0",
        ".bashrc", ".git/hooks/x", ".git/config",
        ".GIT/Hooks/x", ".mcp.json", ".claude/settings.json", "sub/.vscode/tasks.json", "llmos.toml",
        "memories/x", "state/x",
        "plugins/x.py", "agents/x.md", "lessons/x", "/dev/sda", "/proc/self/cwd/../x",
        "/home/dev/.config/llmos/config.toml",
        "//etc/x", "/workspace/proj/../x", "/workspace/project", 7, None,
    ],
)  # fmt: skip
def test_writing_is_denied(judge: Judge, tool: str, path: object) -> None:
    key = "notebook_path" if tool == "NotebookEdit" else "file_path"
    assert judge.judge(tool, {key: path, **WRITES[tool]}).verdict in {"ask", "deny"}


@pytest.mark.parametrize(
    "path", ["a.txt", "src/a b.py", "/workspace/proj/x", "src/../x", "etc/passwd", ".gitignore", ".env"]
)
def test_writing_inside_is_allowed(judge: Judge, path: str) -> None:
    assert judge.judge("Write", {"file_path": path, "content": "rm -rf /"}).verdict == "allow"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "~/.ssh/id_rsa",
        "/proc/self/environ",
        "/root/x",
        "../other/.env",
        "id_rsa",
        ".env",
        "/home/dev/x",
        "/etc/hosts",
    ],
)
def test_reading_is_stopped(judge: Judge, path: str) -> None:
    assert judge.judge("Read", {"file_path": path}).verdict in {"ask", "deny"}


@pytest.mark.parametrize("path", ["a.txt", "docs/x.md", "/usr/include/x.h", ".env.example"])
def test_reading_inside_is_allowed(judge: Judge, path: str) -> None:
    assert judge.judge("Read", {"file_path": path}).verdict == "allow"


@pytest.mark.parametrize(
    ("tool", "input"),
    [
        ("Glob", {"pattern": "/home/dev/.ssh/*"}),
        ("Glob", {"pattern": "*", "path": "/home/dev"}),
        ("Glob", {"pattern": "../../**"}),
        ("Grep", {"pattern": "key", "path": "/root"}),
        ("Grep", {"pattern": "key", "path": ".", "glob": "../**"}),
        ("WebFetch", {"url": "http://localhost:8080/"}),
        ("WebFetch", {"url": "http://169.254.169.254/latest/meta-data"}),
        ("WebFetch", {"url": "http://[::1]/"}),
        ("WebFetch", {"url": "http://2130706433/"}),
        ("WebFetch", {"url": "http://0x7f.1/"}),
        ("WebFetch", {"url": "file:///etc/passwd"}),
        ("WebFetch", {"url": "http://db.internal/"}),
        ("WebFetch", {"url": 7}),
        ("mcp__x__open", {"args": [{"deep": "/home/dev/.ssh/id_rsa"}]}),
        ("mcp__x__save", {"where": "~/.bashrc"}),
        ("mcp__x__save", {"uri": "file:///etc/cron.d/x"}),
    ],
)  # fmt: skip
def test_other_tools_are_stopped(judge: Judge, tool: str, input: dict[str, Any]) -> None:
    assert judge.judge(tool, input).verdict in {"ask", "deny"}


@pytest.mark.parametrize(
    ("tool", "input"),
    [
        ("Glob", {"pattern": "**/*.py"}),
        ("Grep", {"pattern": "/etc/shadow", "path": "src"}),
        ("WebFetch", {"url": "https://example.com/x"}),
        ("WebFetch", {"url": "https://8.8.8.8/"}),
        ("WebSearch", {"query": "how to read /etc/shadow"}),
        ("mcp__x__note", {"text": "never write to ~/.bashrc"}),
        ("Agent", {"prompt": "Look at /home/dev/.ssh/id_rsa"}),
        ("Unheard", {}),
    ],
)  # fmt: skip
def test_other_tools_pass(judge: Judge, tool: str, input: dict[str, Any]) -> None:
    assert judge.judge(tool, input).verdict == "allow"


@pytest.mark.parametrize(
    "links", [{"l": "/home/dev"}, {"l": ".."}, {"l": "m", "m": "/etc"}, {"l": "l"}, {"l": "/proc/self/cwd/.."}]
)
def test_links_are_followed(links: dict[str, str]) -> None:
    world = World("/w", "/home/dev", "/w", {f"/w/{link}": target for link, target in links.items()}, real=False)
    judge = Judge(world)
    assert judge.judge("Write", {"file_path": "l/x", "content": ""}).verdict != "allow"
    assert judge.command("echo x > l/x").verdict != "allow"
    assert judge.command("rm -rf l/").verdict != "allow"


def test_links_on_disk_are_followed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "out").symlink_to(tmp_path)
    (work / "in").symlink_to("sub")
    judge = Judge(World(str(work), str(tmp_path / "home"), str(work)))
    assert judge.judge("Write", {"file_path": "out/x", "content": ""}).verdict == "deny"
    assert judge.judge("Write", {"file_path": "in/x", "content": ""}).verdict == "allow"
    assert judge.command("echo x > in/x").verdict == "allow"


def test_a_working_directory_below_the_workspace(tmp_path: Path) -> None:
    root = tmp_path / "projects/default/output"
    root.mkdir(parents=True)
    judge = Judge(World(str(root), str(tmp_path / "home"), str(tmp_path)))
    assert judge.judge("Write", {"file_path": "plugins/x.py", "content": ""}).verdict == "allow"
    assert judge.judge("Write", {"file_path": str(tmp_path / "plugins/x.py"), "content": ""}).verdict == "deny"
    assert judge.judge("Read", {"file_path": str(tmp_path / "facts/x.md")}).verdict == "allow"
    assert judge.judge("Read", {"file_path": str(tmp_path / "memories/x.md")}).verdict == "deny"
    for command in ("rm -rf ../../../memories", "echo x > ../../../llmos.toml", "mv a ../../../agents/a.md"):
        assert judge.command(command).verdict == "deny"


def test_a_scratch_copy_below_a_sealed_directory(tmp_path: Path) -> None:
    root = tmp_path / "state/scratch/1"
    root.mkdir(parents=True)
    judge = Judge(World(str(root), str(tmp_path / "home"), str(tmp_path)))
    assert judge.command("echo x > a").verdict == "allow"
    assert judge.command("echo x > ../../journal").verdict == "deny"

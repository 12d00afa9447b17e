"""``llmos mcp``, as its users have it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from .conftest import SERVER, alive, wait_for

Llmos = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "LLMOS_", "CLAUDE"))
    }
    return {**clean, "COLUMNS": "160", "NOW": "Adds two numbers."}


@pytest.fixture
def llmos(tmp_path: Path, environment: dict[str, str]) -> Llmos:
    """Runs ``llmos`` in an empty directory, with a user's file that names the small server and an absent one."""
    (tmp_path / "home/workspace").mkdir(parents=True)
    (tmp_path / "config/llmos").mkdir(parents=True)
    (tmp_path / "config/llmos/config.toml").write_text(
        "[plugins.mcp.servers.small]\n"
        f'command = "{sys.executable}"\nargs = ["{SERVER}"]\npure = ["add"]\ntools = ["add", "echo"]\n'
        f'env = {{ ADD_DESCRIPTION = "${{NOW}}", STARTED = "{tmp_path}/started", KEY = "a-secret-key" }}\n'
        "[plugins.mcp.servers.absent]\n"
        'command = "no-such-program"\n'
    )

    def run(
        *arguments: str, program: Sequence[str] = (sys.executable, "-m", "llmos_core"), **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*program, *arguments],
            cwd=tmp_path / "home",
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run


def test_list_starts_nothing(llmos: Llmos, tmp_path: Path) -> None:
    done = llmos("mcp", "list")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[0].split() == ["server", "state", "tools", "command", "or", "url"]
    assert b"small   not looked at" in done.stdout
    assert b"a-secret-key" not in done.stdout
    assert not (tmp_path / "started").exists()
    listed = json.loads(llmos("mcp", "list", "--json").stdout)
    assert [(item["name"], item["state"], item["tools"]) for item in listed] == [
        ("small", "not looked at", None),
        ("absent", "not looked at", None),
    ]


def test_tools_are_looked_at_once(llmos: Llmos, tmp_path: Path) -> None:
    done = llmos("mcp", "tools", "small")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    assert rows[1:] == [
        ["small__add", "pure", "reads", "only", "Adds", "two", "numbers."],
        ["small__echo", "external", "Gives", "the", "text", "back."],
    ]
    [add, _] = json.loads(llmos("mcp", "tools", "small", "--json").stdout)
    assert (add["name"], add["tool"], add["effect"], add["annotations"]) == (
        "small__add",
        "add",
        "pure",
        {"readOnlyHint": True},
    )
    assert add["input_schema"]["required"] == ["a", "b"]
    assert (tmp_path / "started").read_text() == "started\n"
    assert json.loads(llmos("mcp", "list", "--json").stdout)[0]["state"] == "kept"


def test_a_server_that_cannot_be_used_is_told_beside_the_others(llmos: Llmos) -> None:
    done = llmos("mcp", "tools")
    assert done.returncode == 1
    assert b"small__add" in done.stdout
    assert b"Warning: The MCP server absent cannot be used. There is no no-such-program." in done.stderr
    unknown = llmos("mcp", "tools", "nobody")
    assert unknown.returncode == 2
    assert unknown.stderr.decode().splitlines() == [
        "Error: There is no MCP server nobody.",
        "There are: small, absent.",
        "See them with: llmos mcp list",
    ]


def test_refresh_shows_what_changed_and_keeps_it_after_a_yes(llmos: Llmos) -> None:
    assert llmos("mcp", "tools", "small").returncode == 0
    same = llmos("mcp", "refresh", "small")
    assert (same.returncode, same.stdout) == (0, b"small: 12 tools kept (nothing changed).\n")
    other = {"NOW": "Adds, and sends your files to me."}
    asked = llmos("mcp", "refresh", "small", **other)
    assert asked.returncode == 6
    assert b'-  "description": "Adds two numbers.",' in asked.stdout
    assert b'+  "description": "Adds, and sends your files to me.",' in asked.stdout
    assert b"Error: 1 tools of small changed, and nobody can be asked." in asked.stderr
    assert b"sends" not in llmos("mcp", "tools", "small").stdout
    kept = llmos("mcp", "refresh", "small", "--yes", **other)
    assert kept.returncode == 0
    assert kept.stdout.endswith(b"small: 12 tools kept (1 changed).\n")
    assert b"sends" in llmos("mcp", "tools", "small").stdout


@pytest.mark.parametrize(("answer", "code", "kept"), [(b"y\n", 0, True), (b"n\n", 6, False)])
def test_refresh_asks_at_a_terminal(
    llmos: Llmos, environment: dict[str, str], tmp_path: Path, answer: bytes, code: int, kept: bool
) -> None:
    assert llmos("mcp", "tools", "small").returncode == 0
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        done = subprocess.run(
            [sys.executable, "-m", "llmos_core", "mcp", "refresh", "small"],
            cwd=tmp_path / "home",
            env={**environment, "NOW": "Adds, and more."},
            stdin=theirs,
            capture_output=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code, done.stderr
    assert b"Keep these 1 changes of small?" in done.stdout + done.stderr
    assert (b"and more" in llmos("mcp", "tools", "small").stdout) is kept


def test_refresh_of_a_server_that_cannot_be_used(llmos: Llmos) -> None:
    done = llmos("mcp", "refresh", "absent")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "Error: The MCP server absent cannot be used.",
        "There is no no-such-program.",
        "Correct [plugins.mcp.servers.absent], then: llmos mcp refresh absent",
    ]


def test_names_are_completed(llmos: Llmos) -> None:
    variables = {"_LLMOS_COMPLETE": "bash_complete", "COMP_WORDS": "llmos mcp refresh sm", "COMP_CWORD": "3"}
    done = llmos(**variables, program=[str(Path(sys.executable).parent / "llmos")])
    assert done.stdout == b"plain,small\n"


def test_help_comes_with_examples(llmos: Llmos) -> None:
    for command in ("list", "tools", "refresh"):
        done = llmos("mcp", command, "--help")
        assert f"llmos mcp {command}" in done.stdout.decode().partition("Examples:")[2]


def test_the_cold_path_imports_no_client(llmos: Llmos, tmp_path: Path, environment: dict[str, str]) -> None:
    assert llmos("mcp", "tools").returncode == 1, "the absent one is not looked for again at once"
    for arguments in (["mcp", "list"], ["mcp", "tools", "small"], ["explain", "Add two numbers"]):
        code = (
            "import sys, click\n"
            "from llmos_core.cli.app import run_command\n"
            f"sys.argv = ['llmos', *{arguments!r}]\n"
            "run_command()\n"
            "found = {'mcp', 'jsonschema', 'httpx2'} & set(sys.modules)\n"
            "assert not found, found\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / "home", env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_an_interrupted_look_leaves_no_server(llmos: Llmos, environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "config/llmos/config.toml"
    file.write_text(file.read_text().replace("ADD_DESCRIPTION", "HANG"))
    process = subprocess.Popen(
        [sys.executable, "-m", "llmos_core", "mcp", "refresh", "small"],
        cwd=tmp_path / "home",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for((tmp_path / "started").exists)
        process.send_signal(2)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Interrupted" in told
    assert [command for command in alive(tmp_path) if "server.py" in command] == []


LESSON = """\
name: wait
goal: Wait for the server
about: Calls a tool that takes its time.
example: Wait for the server
turns:
  - tools:
      - small__slow:
          path: PATH
  - text: "done"
"""


@pytest.mark.cli
def test_an_interrupted_run_leaves_no_server(llmos: Llmos, environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "config/llmos/config.toml"
    file.write_text(file.read_text().replace('tools = ["add", "echo"]', 'tools = ["slow"]').replace("add", "slow"))
    (tmp_path / "home/workspace/lessons").mkdir()
    (tmp_path / "home/workspace/lessons/wait.yaml").write_text(LESSON.replace("PATH", str(tmp_path / "pid")))
    assert llmos("mcp", "tools").returncode == 1
    process = subprocess.Popen(
        [sys.executable, "-m", "llmos_core", "--no-plugins=security", "run", "Wait for the server"],
        cwd=tmp_path / "home",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: (tmp_path / "pid").exists() or process.poll() is not None, 90)
        process.send_signal(2)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (tmp_path / "pid").exists(), told
    assert process.returncode == 130, told
    assert alive(tmp_path) == []

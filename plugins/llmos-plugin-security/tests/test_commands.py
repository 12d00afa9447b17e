"""``llmos guard``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmos_plugin_security.commands import guard

pytestmark = pytest.mark.usefixtures("llmos_home")


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(guard, arguments, input=input)


@pytest.mark.parametrize(
    ("command", "code", "word"), [("ls", 0, "allow"), ("git reset --hard", 6, "ask"), ("rm -rf /", 4, "deny")]
)
def test_a_command(command: str, code: int, word: str) -> None:
    done = run("test", command)
    assert done.exit_code == code, done.output
    assert done.output.startswith(word)


def test_it_explains() -> None:
    done = run("test", 'sudo sh -c "cd /; rm -rf etc"')
    assert "rule  delete-outside" in done.output
    assert "sh -c" in done.output
    assert "rm -rf etc" in done.output


def test_as_json() -> None:
    data = json.loads(run("test", "--json", "bash -c 'rm -rf /'").output)
    assert (data["verdict"], data["rule"], data["part"]) == ("deny", "delete-outside", "rm /")
    assert data["path"][0] == "the command"


def test_another_tool(tmp_path: Path) -> None:
    given = json.dumps({"file_path": ".bashrc", "content": ""})
    assert run("test", "--tool", "Write", "--input", given, "--root", str(tmp_path)).exit_code == 4
    given = json.dumps({"file_path": "a.txt", "content": ""})
    assert run("test", "--tool", "Write", "--input", given, "--root", str(tmp_path)).exit_code == 0


def test_many_calls(tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = [
        {"id": "a", "tool": "Bash", "input": {"command": "ls ~/x"}},
        {"id": "b", "tool": "Bash", "input": {"command": "cat /home/someone/.netrc"}},
        {"id": "c", "tool": "Write", "input": {"file_path": "l/x"}, "setup": {"symlinks": {"l": "/etc"}}},
        {"id": "d", "tool": "Write", "input": {"file_path": "l/x"}},
    ]
    root = tmp_path / "none" / "such"
    lines = "\n".join(map(json.dumps, calls)) + "\n\n"
    done = run("test", "--jsonl", "-", "--root", str(root), "--home", "/home/someone", input=lines)
    assert done.exit_code == 0, done.output
    answers = [json.loads(line) for line in done.output.splitlines()]
    assert [(answer["id"], answer["verdict"]) for answer in answers] == [
        ("a", "allow"),
        ("b", "deny"),
        ("c", "deny"),
        ("d", "allow"),
    ]
    assert all({"id", "verdict", "rule", "reason", "micros"} == answer.keys() for answer in answers)
    assert not root.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("test",),
        ("test", "ls", "--input", "{}"),
        ("test", "--input", "{"),
        ("test", "--input", "[]"),
        ("test", "--tool", "Write", "ls"),
        ("test", "--tool", "Glob", "*.py"),
    ],
)
def test_what_cannot_be_judged_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    from llmos_core import UsageError

    done = run(*arguments, input='{"tool": 1}\n')
    assert isinstance(done.exception, UsageError)


def test_a_tool_that_nobody_described_is_judged_and_named() -> None:
    done = run("test", "--tool", "Nope", "--input", "{}")
    assert (done.exit_code, done.output.splitlines()[0]) == (0, "allow")
    assert "Nope is not known to the guard" in done.output
    assert run("test", "--tool", "mcp__x__run", "rm -rf /").exit_code == 4
    for tool in ("Read", "Glob", "WebSearch", "Bash"):
        assert "not known" not in run("test", "--tool", tool, "--input", "{}").output


def test_a_rule_of_the_settings_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = '[{"id": "stash", "verdict": "allow", "command": "git", "words": ["stash", "drop"]}]'
    monkeypatch.setenv("LLMOS_PLUGINS__SECURITY__RULES", rules)
    assert run("test", "git stash drop").output == "allow: a rule of the settings allows it (settings-stash)\n"
    assert json.loads(run("test", "--json", "git stash drop").output)["rule"] == "settings-stash"


def test_the_rules() -> None:
    assert "delete-outside" in run("rules").output
    rows = json.loads(run("rules", "--json").output)
    assert {"id", "verdict", "kind", "what", "why", "examples"} == rows[0].keys()


def test_tools_are_completed() -> None:
    [option] = [one for one in guard.commands["test"].params if one.name == "tool"]
    assert [item.value for item in option.shell_complete(guard.make_context("guard", ["rules"]), "wr")] == ["Write"]


def test_help_has_examples() -> None:
    assert "llmos guard test" in run("test", "--help").output


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"tool": "Bash",',
        b"[]",
        b'{"tool": 1, "input": {}}',
        b'{"tool": "Bash", "input": "ls"}',
        b'{"tool": "Bash", "input": {}, "setup": 1}',
        b'{"tool": "Bash", "input": {}, "setup": {"symlinks": ["a"]}}',
        b'{"tool": "Bash", "input": {}, "setup": {"symlinks": {"a": 1}}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_wrong_line_is_named_and_the_lines_before_it_are_answered(tmp_path: Path, wrong: bytes) -> None:
    from llmos_core import UsageError

    calls = tmp_path / "calls.jsonl"
    calls.write_bytes(b'{"tool": "Bash", "input": {"command": "ls"}}\n' + wrong + b"\n")
    done = run("test", "--jsonl", str(calls))
    assert isinstance(done.exception, UsageError)
    assert "Line 2" in done.exception.what
    assert done.exception.exit_code == 2
    assert json.loads(done.output.splitlines()[0])["verdict"] == "allow"


def test_a_missing_file_is_a_usage_error() -> None:
    done = run("test", "--jsonl", "none.jsonl")
    assert done.exit_code == 2
    assert "none.jsonl" in done.output

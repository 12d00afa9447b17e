"""``llmos plugins new``: what it makes, what it refuses, what it says."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from llmos_core import LLMOSError, UsageError
from llmos_testkit.new import KINDS, new, template

New = Callable[..., Result]


@pytest.fixture
def run_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> New:
    """Runs the command in an empty directory; its errors come back in the result."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(new, arguments)

    return run


def refused(result: Result) -> UsageError:
    assert isinstance(result.exception, UsageError), result.output
    return result.exception


def project(directory: Path) -> dict[str, object]:
    table = tomllib.loads((directory / "pyproject.toml").read_text("utf-8"))["project"]
    assert isinstance(table, dict)
    return table


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}


def test_it_makes_a_plugin_with_a_tool_and_says_what_to_do_next(run_new: New, tmp_path: Path) -> None:
    result = run_new("my-greeter")
    made = tmp_path / "llmos-plugin-my-greeter"
    assert result.stdout == f"The plugin my-greeter was made: {made}\n"
    told = [line.strip() for line in result.stderr.splitlines()[1:]]
    assert told == [
        "cd llmos-plugin-my-greeter",
        "pip install -e . --group dev",
        "python -m pytest",
        "llmos plugins list",
    ]
    assert {"tool.py", "test_tool.py"} <= files(made)
    assert not {"guard.py", "strategy.py", "memory.py", "test_guard.py"} & files(made)
    assert "authors" not in project(made)


def test_options_are_taken_to_the_letter(run_new: New, tmp_path: Path) -> None:
    description, author = "Says \"h\u00e9llo\" \\ {{ 7*7 }} \u65e5\u672c \U0001f600 <b>'x' #", 'Ada "L" \u00d8, Ltd.'
    result = run_new(
        "g2", "somewhere/deep", "--kind", "guard", "--kind", "agent", "--kind", "guard", "--description", description,
        "--author", author, "--json",
    )  # fmt: skip
    assert json.loads(result.stdout) == {
        "name": "g2",
        "distribution": "llmos-plugin-g2",
        "directory": str(tmp_path / "somewhere/deep"),
        "kinds": ["guard", "agent"],
        "next": [
            "cd somewhere/deep",
            "pip install -e . --group dev",
            "python -m pytest",
            "llmos plugins list",
        ],
    }
    assert result.stderr == ""
    made = project(tmp_path / "somewhere/deep")
    assert (made["name"], made["description"], made["authors"]) == ("llmos-plugin-g2", description, [{"name": author}])
    assert {"guard.py", "g2.md"} <= files(tmp_path / "somewhere/deep")


def test_a_full_name_is_a_name_too(run_new: New, tmp_path: Path) -> None:
    run_new("llmos-plugin-greeter")
    assert project(tmp_path / "llmos-plugin-greeter")["name"] == "llmos-plugin-greeter"


@pytest.mark.parametrize(
    "name", ["", "My-Greeter", "my_greeter", "2do", "a--b", "a-", "../x", "a\n", "\u00fcber", "x" * 41]
)
def test_a_wrong_name_is_refused(run_new: New, tmp_path: Path, name: str) -> None:
    error = refused(run_new(name))
    assert error.what == f"The name {json.dumps(name, ensure_ascii=False)} cannot be used."
    assert error.why == "Use up to 40 small letters, digits and single hyphens, and start with a letter: my-greeter."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "text", "why"),
    [
        ("--description", "two\nlines", "Write one line of up to 300 characters."),
        ("--description", " ", "Write one line of up to 300 characters."),
        ("--description", "x" * 301, "Write one line of up to 300 characters."),
        ("--description", "half \ud83d", "Write one line of up to 300 characters."),
        ("--author", "a\tb", "Write one line of up to 100 characters."),
    ],
)
def test_a_text_that_metadata_cannot_hold_is_refused(
    run_new: New, tmp_path: Path, option: str, text: str, why: str
) -> None:
    error = refused(run_new("my-greeter", option, text))
    assert error.what.startswith(f"The {option[2:]} ")
    assert error.why == why
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_files_is_refused_unless_forced(run_new: New, tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / ".git").mkdir(parents=True)
    assert run_new("my-greeter", "place").exit_code == 0  # a new repository is no reason
    (place / "README.md").write_text("mine", "utf-8")
    (place / "own.txt").write_text("mine", "utf-8")
    assert refused(run_new("my-greeter", "place", "--kind", "guard")).what == "place has files in it."
    assert (place / "README.md").read_text("utf-8") == "mine"
    assert run_new("my-greeter", "place", "--kind", "guard", "--force").exit_code == 0
    assert "The guard" in (place / "README.md").read_text("utf-8")
    assert (place / "own.txt").read_text("utf-8") == "mine"


def test_a_file_is_no_directory(run_new: New, tmp_path: Path) -> None:
    (tmp_path / "llmos-plugin-x").write_text("mine", "utf-8")
    assert refused(run_new("x")).what == "llmos-plugin-x is no directory."
    assert refused(run_new("x", "--force")).what == "llmos-plugin-x is no directory."
    assert (tmp_path / "llmos-plugin-x").read_text("utf-8") == "mine"


def test_the_name_of_an_installed_plugin_is_refused_unless_forced(run_new: New, tmp_path: Path) -> None:
    error = refused(run_new("tools"))
    assert error.what == "There is a plugin tools already."
    assert "llmos-plugin-tools" in error.why
    assert list(tmp_path.iterdir()) == []
    assert run_new("tools", "--force").exit_code == 0


def test_without_copier_it_says_how_to_get_it(run_new: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "copier", None)
    error = run_new("my-greeter").exception
    assert isinstance(error, LLMOSError)
    assert error.what == "A plugin cannot be made without copier."
    assert error.fix == 'Install it: pip install "llmos-testkit[new]"'
    assert list(tmp_path.iterdir()) == []


def test_help_costs_no_copier() -> None:
    code = "import sys, llmos_testkit.new; sys.exit('copier' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_template_runs_nothing_and_offers_these_kinds() -> None:
    questions = yaml.safe_load((template() / "copier.yml").read_text("utf-8"))
    assert tuple(questions["kinds"]["choices"].values()) == KINDS
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & questions.keys()


def test_its_answers_are_kept(run_new: New, tmp_path: Path) -> None:
    run_new("no", "--kind", "agent")  # "no" is a word of YAML
    made = tmp_path / "llmos-plugin-no"
    answers = yaml.safe_load((made / ".copier-answers.yml").read_text("utf-8"))
    assert (answers["name"], answers["kinds"]) == ("no", ["agent"])
    run_new("no", "--author", "Ada", "--force")
    again = yaml.safe_load((made / ".copier-answers.yml").read_text("utf-8"))
    assert (again["author"], again["kinds"]) == ("Ada", ["agent"])


def test_on_a_terminal_it_asks_for_what_is_missing(tmp_path: Path) -> None:
    code = "from llmos_testkit.new import new; new()"
    command = [sys.executable, "-W", "ignore", "-c", code, "my-greeter", "--kind", "guard"]
    ours, theirs = pty.openpty()
    asked = ""
    with subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        for question, answer in (("What it does", "Guards it"), ("Who makes it", "Ada")):
            asked += _until(ours, question)
            os.write(ours, f"\x15{answer}\r".encode())  # Ctrl-U: without the default
        asked += _until(ours, "llmos plugins list")
        assert process.wait(30) == 0
    os.close(ours)
    assert "What shall it bring" not in asked
    made = project(tmp_path / "llmos-plugin-my-greeter")
    assert (made["description"], made["authors"]) == ("Guards it", [{"name": "Ada"}])


def _until(terminal: int, text: str) -> str:
    """What the terminal shows up to a text, without what steers it."""
    shown = ""
    while text not in shown:
        assert select.select([terminal], [], [], 30)[0], shown
        data = os.read(terminal, 4096).decode("utf-8", "replace")
        if "\x1b[6n" in data:
            os.write(terminal, b"\x1b[1;1R")  # where the cursor is
        shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data)
    return shown

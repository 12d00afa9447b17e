"""The shipped lessons on the sample workspace, and a run with a key that becomes a lesson for runs without one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmos_testkit import ScriptedModel, text, use
from tests.cli_fixtures import Llmos

pytestmark = pytest.mark.cli

ROOT = Path(__file__).parents[2]
LESSONS = ROOT / "plugins/llmos-plugin-rehearsal/src/llmos_plugin_rehearsal/lessons"
KEY = "sk-ant-test-0123456789-very-secret"
OTHER_KEY = "sk-ant-test-9876543210-not-yet-a-secret"
GOAL = "Note {{three}} things and count them"


def append(name: str, text: str) -> Callable[[Path], object]:
    return lambda data: (data / name).write_text((data / name).read_text("utf-8") + text, "utf-8")


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda data: (data / name).write_text((data / name).read_text().replace(old, new))


COMMIT = "commit refs/heads/main\ncommitter Zed <z@example.org> 1950000000 +0000\ndata 1\nx\n"
CASES: dict[str, tuple[str, str, Callable[[Path], object], str]] = {
    "log-report": (
        "errors.md",
        "| 2026-03-02 10:00 | TimeoutError | 6 |",
        append("shop.log", "2026-03-03 01:00:00 ERROR New: thing\n"),
        "| 2026-03-03 01:00 | New | 1 |",
    ),
    "repair-test": (
        "basket/basket.py",
        "cost >= FREE_SHIPPING_FROM",
        replace("basket/basket.py", "return goods(items) +", "return goods(items) -"),
        "nothing: two faults are too many",
    ),
    "rename-files": (
        "names.md",
        "| photo_10.txt | 010-photo.txt |",
        lambda data: (data / "photos/cat-77.txt").write_text("a cat"),
        "| cat-77.txt | 077-cat.txt |",
    ),
    "api-table": (
        "planets.md",
        "| Saturn | 120536 | 1432.0 | 10747 | true |",
        replace("planets.json", '"Saturn"', '"Saturnus"'),
        "| Saturnus | 120536 | 1432.0 | 10747 | true |",
    ),
    "git-history": ("history.md", "| 2025-03 | 4 | 3 |", append("garden.fi", COMMIT), "| 2031-10 | 1 | 1 |"),
}


def run(llmos: Llmos, goal: str, *arguments: str, code: int = 0, **given: Any) -> dict[str, Any]:
    done = llmos("run", "--json", *arguments, goal, **given)
    assert done.returncode == code, done.stderr.decode()
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


@pytest.mark.parametrize("name", CASES)
def test_a_lesson_works_is_followed_and_sees_other_input(llmos: Llmos, home: Path, name: str) -> None:
    file, wanted, change, other = CASES[name]
    data, output = home / "workspace/data", home / "workspace/projects/default/output"
    shutil.copytree(ROOT / "workspace/data", data)
    goal = yaml.safe_load((LESSONS / f"{name}.yaml").read_text("utf-8"))["example"]

    learned = run(llmos, goal)
    assert (learned["mode"], learned["followable"]) == ("LEARNER", True), learned
    assert wanted in (output / file).read_text()
    [trace] = (home / "workspace/memories/traces").rglob("*.md")
    assert re.search(r"127\.0\.0\.1:[0-9]", trace.read_text("utf-8")) is None
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}

    followed = run(llmos, goal)
    assert (followed["mode"], followed["cost_usd"], followed["output"]) == ("FOLLOWER", 0, learned["output"])
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    shutil.rmtree(output)
    assert run(llmos, goal)["mode"] == "FOLLOWER"
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before

    change(data)
    assert run(llmos, goal, code=5)["mode"] == "FOLLOWER"
    again = run(llmos, goal, "--mode", "learner")
    if name == "repair-test":
        assert "No small change makes the tests pass." in again["output"]
    else:
        assert again["followable"] is True
        assert other in (output / file).read_text()
        assert other in again["output"]


def test_a_broken_lesson_is_named_and_the_others_are_played(llmos: Llmos, home: Path) -> None:
    (home / "workspace/lessons").mkdir()
    (home / "workspace/lessons/bad.yaml").write_text("name: [")
    done = llmos("run", "Create a Python script that prints the primes below 9 and run it")
    assert done.returncode == 0
    assert done.stderr.decode().count("lessons/bad.yaml cannot be used.") == 1
    listed = llmos("lessons", "list", "--json")
    assert "primes" in [lesson["name"] for lesson in json.loads(listed.stdout)]
    assert b"lessons/bad.yaml cannot be used." in listed.stderr


def test_lessons_are_listed(llmos: Llmos, home: Path) -> None:
    (home / "workspace/lessons").mkdir()
    lesson = (LESSONS / "primes.yaml").read_text("utf-8") + "hidden: true\n"
    (home / "workspace/lessons/mine.yaml").write_text(lesson)
    listed = json.loads(llmos("lessons", "list", "--json").stdout)
    assert listed[0] | {"name": "primes", "from": "own", "hidden": True} == listed[0]
    assert [lesson["from"] for lesson in listed[1:]] == ["shipped"] * (len(list(LESSONS.iterdir())) - 1)
    table = llmos("lessons", "list").stdout.decode()
    assert re.search(r"^primes +own, hidden +Create a Python", table, re.MULTILINE)


@pytest.fixture
def with_key(scripted_model: ScriptedModel) -> Mapping[str, str]:
    """The variables of a run whose model is the scripted one."""
    return {**scripted_model.environment, "ANTHROPIC_API_KEY": KEY}


def work(workspace: Path, model: ScriptedModel) -> None:
    """What the model does: notes with braces and YAML in them, a failing command, a sub-agent, an answer."""
    output = workspace / "projects/default/output"
    note = f"things: {{{{results.1}}}} {{{{workdir}}}}\n- one\n\n  two\t{output}\nturns:\n  - text: no\n"
    model.replies(
        [text("I begin."), use("Write", file_path=f"{output}/note.txt", content=note)],
        [use("Bash", command=f"cat '{workspace}/input.txt' >> note.txt"), use("Bash", command="wc -l < note.txt")],
        [text("This fails:"), use("Bash", command="grep -c nothing note.txt; exit 3")],
        [use("Agent", description="third", prompt=f"Write c in {output}/c.txt", subagent_type="scribe")],
        [text("I look."), use("Bash", command="ls; cat c.txt")],
        [text("There are three:\n\nc.txt\nnote.txt\nby the scribe\n\nin {{all}}.")],
        agent=[
            [text("I write."), use("Write", file_path=f"{output}/c.txt", content="by the scribe\n")],
            [text("It is written.")],
        ],
    )


def workspace_in(home: Path, given: str) -> Path:
    workspace = home / "workspace"
    (workspace / "agents").mkdir(parents=True)
    (workspace / "agents/scribe.md").write_text("---\ndescription: Writes.\ntools: Write\n---\nYou write.\n")
    (workspace / "input.txt").write_text(given)
    return workspace


def files(output: Path) -> dict[str, str]:
    found = {path.name: path.read_text().replace(str(output), "OUTPUT") for path in output.iterdir()}
    assert set(found) == {"note.txt", "c.txt"}
    return found


def test_a_run_with_a_key_is_played_without_one_elsewhere(
    llmos: Llmos, home: Path, tmp_path: Path, with_key: Mapping[str, str], scripted_model: ScriptedModel
) -> None:
    first = workspace_in(home, "four\n")
    work(first, scripted_model)
    learned = run(llmos, GOAL, **with_key)
    assert learned["billing"] == "real"
    recorded = llmos("lessons", "record", "last", "notes")
    assert recorded.returncode == 0, recorded.stderr.decode()
    assert recorded.stderr == b""
    assert b"It needs these agents: scribe." in recorded.stdout
    assert not any(str(home) in path.read_text() for path in (first / "lessons").iterdir())

    elsewhere = tmp_path / "else where"
    second = workspace_in(elsewhere, "another line\n")
    shutil.copytree(first / "lessons", second / "lessons")
    scripted_model.replies()
    played = run(llmos, GOAL, cwd=elsewhere)
    assert (played["mode"], played["billing"], played["steps"]) == ("LEARNER", "rehearsal", learned["steps"])
    assert played["output"] == learned["output"]
    wanted = files(first / "projects/default/output")
    there = files(second / "projects/default/output")
    assert there == {**wanted, "note.txt": wanted["note.txt"].replace("four\n", "another line\n")}
    assert "{{results.1}} {{workdir}}" in there["note.txt"]
    assert played["followable"] == learned["followable"]


def test_what_cannot_be_recorded(
    llmos: Llmos, home: Path, with_key: Mapping[str, str], scripted_model: ScriptedModel
) -> None:
    workspace = workspace_in(home, "")

    def refused(*arguments: str, **given: str) -> str:
        done = llmos("lessons", "record", *arguments, **given)
        assert done.returncode == 2, done.stdout
        assert b"Traceback" not in done.stderr
        return done.stderr.decode()

    assert "There is no run 2030-01-01-000000-abcdef." in refused("2030-01-01-000000-abcdef", "notes")
    scripted_model.replies([text("No tools are needed.")])
    run(llmos, GOAL, **with_key)
    assert "It called no tools" in refused("last", "notes")
    scripted_model.replies([use("Bash", command=f"echo {KEY} {OTHER_KEY}")], [text("Said.")])
    run(llmos, GOAL, **with_key)
    for name in ("Notes", "../notes", "a b"):
        assert "is no name for a lesson" in refused("last", name)
    assert "It is shipped" in refused("last", "primes")
    assert not (workspace / "lessons").exists()

    done = llmos("lessons", "record", "last", "notes")
    assert done.returncode == 0
    assert "Warning: The texts hold ***" in done.stderr.decode()
    assert KEY not in (workspace / "lessons/notes.yaml").read_text()
    assert "There is a lesson notes already." in refused("last", "notes")
    assert llmos("lessons", "record", "last", "notes", "--force").returncode == 0
    # Another file may hold the name too: it is never passed over.
    (workspace / "lessons/notes.yaml").rename(workspace / "lessons/other.yaml")
    assert "other.yaml" in refused("last", "notes", "--force")
    # What was no credential then may be one now.
    assert "Its texts hold a credential." in refused("last", "more", ANTHROPIC_API_KEY=OTHER_KEY)
    assert [path.name for path in (workspace / "lessons").iterdir()] == ["other.yaml"]


def test_a_lesson_that_another_hides_is_told(llmos: Llmos, home: Path) -> None:
    goal = "Create a Python script that prints the primes below 9 and run it"
    run(llmos, goal)
    assert llmos("lessons", "record", "last", "a-first").returncode == 0
    done = llmos("lessons", "record", "last", "b-second", "--goal", goal.replace("9", "{{limit:int}}"))
    assert done.returncode == 0
    assert "Warning: The lesson a-first comes first and answers this too:" in done.stderr.decode()
    outcome = run(llmos, goal.replace("9", "12"))
    assert "2 3 5 7 11" in outcome["output"]

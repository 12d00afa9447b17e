"""The shipped lessons that work on whole projects: a history summarised, a failing test repaired."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

MakeAgent = Callable[..., Any]
Stopped = Callable[..., Any]

AUTHORS = {
    "commit": ["-c", "user.name=Zoe", "-c", "user.email=z@example.org"],
    "other": ["-c", "user.name=Al|ice", "-c", "user.email=a@example.org"],
}
HISTORY = """\
# Git history of {name}

3 commits by 2 authors, from 2031-05-31 to 2031-07-01.

## By author

| author | commits | first | last |
|---|---:|---|---|
| Al\\|ice | 2 | 2031-06-01 | 2031-07-01 |
| Zoe | 1 | 2031-05-31 | 2031-05-31 |

## By month

| month | commits | authors |
|---|---:|---:|
| 2031-05 | 1 | 1 |
| 2031-06 | 1 | 1 |
| 2031-07 | 1 | 1 |
"""


COMMITTED = "2032-01-01T00:00:00 +0000"


def repository(folder: Path) -> None:
    def git(*arguments: str, date: str = "") -> None:
        env = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": COMMITTED} if date else None
        subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env=env)

    folder.mkdir()
    git("init", "-b", "trunk")
    # The last hour of a month where the author is, and the next month in UTC.
    git(*AUTHORS["commit"], "commit", "--allow-empty", "-m", "one", date="2031-05-31T23:30:00 -0500")
    git(*AUTHORS["other"], "commit", "--allow-empty", "-m", "two\n\n3 more\tlines", date="2031-06-01T12:00:00 +0000")
    git(
        *AUTHORS["other"],
        "commit",
        "--allow-empty",
        "-m",
        "",
        "--allow-empty-message",
        date="2031-07-01T12:00:00 +0000",
    )


async def test_git_history_of_a_repository_and_of_its_export(make_agent: MakeAgent) -> None:
    agent = make_agent()
    repository(agent.run.workspace / "repo")
    answer = await agent.work("Summarise the Git history of repo by author and month in history.md")
    report = HISTORY.format(name="repo")
    assert answer == f"I wrote the report history.md:\n\n{report}".rstrip()
    assert (agent.run.workdir / "history.md").read_text() == report
    assert not (agent.run.workdir / "imported.git").exists()

    done = await anyio.run_process(["git", "-C", str(agent.run.workspace / "repo"), "fast-export", "--all"])
    (agent.run.workspace / "repo.fi").write_bytes(done.stdout)
    await agent.work("Summarise the Git history of repo.fi by author and month in history.md")
    assert (agent.run.workdir / "history.md").read_text() == HISTORY.format(name="repo.fi")

    # What an earlier import left is not counted: this history has another branch and one commit.
    text = "commit refs/heads/other\ncommitter Bo <b@example.org> 1950000000 +0000\ndata 1\nx\n"
    (agent.run.workspace / "small.fi").write_text(text)
    answer = await agent.work("Summarise the Git history of small.fi by author and month in history.md")
    assert "1 commit by 1 author, from 2031-10-17 to 2031-10-17." in answer


async def test_git_history_of_what_has_none_claims_nothing(make_agent: MakeAgent, stopped: Stopped) -> None:
    agent = make_agent()
    answer = await agent.work("Summarise the Git history of no.fi by author and month in history.md")
    assert answer.startswith("I cannot read the history of no.fi: Exit code 1")
    repository(agent.run.workspace / "repo")
    (agent.run.workspace / "repo/inner").mkdir()
    answer = await stopped(agent.work("Summarise the Git history of repo/inner by author and month in history.md"))
    assert answer == "Bash failed: Exit code 1\ninner is no Git repository."
    assert not (agent.run.workdir / "history.md").exists()


TEST = "import unittest\n\nimport calc\n\n\nclass T(unittest.TestCase):\n    def test(self):\n        {check}\n"
REPAIR = "Copy the Python project calc to mended and make its failing test pass"


def project(agent: Any, source: str, check: str) -> None:
    folder: Path = agent.run.workspace / "calc"
    folder.mkdir()
    (folder / "calc.py").write_text(source)
    (folder / "test_calc.py").write_text(TEST.format(check=check))


@pytest.mark.parametrize(
    ("source", "check", "repaired"),
    [
        (
            "def area(a, b):\n    return a + b\n",
            "self.assertEqual(calc.area(3, 4), 12)",
            None,
        ),
        (
            "def area(a, b):\n    return a - b\n\n\ndef gap(a, b):\n    return a - b\n",
            "self.assertEqual((calc.area(3, 4), calc.gap(3, 4)), (7, -1))",
            "def area(a, b):\n    return a + b\n\n\ndef gap(a, b):\n    return a - b\n",
        ),
        (
            "LIMIT = 9\n\n\ndef small(n):\n    return min(n, LIMIT)\n",
            "self.assertEqual((calc.small(20), calc.small(1)), (10, 1))",
            "LIMIT = 10\n\n\ndef small(n):\n    return min(n, LIMIT)\n",
        ),
    ],
)
async def test_repair_test(make_agent: MakeAgent, source: str, check: str, repaired: str | None) -> None:
    agent = make_agent()
    project(agent, source, check)
    answer = await agent.work(REPAIR)
    left = (agent.run.workdir / "mended/calc.py").read_text()
    assert (agent.run.workspace / "calc/calc.py").read_text() == source
    if repaired is None:
        assert answer == "I did not repair calc: Exit code 1\nNo small change makes the tests pass."
        assert left == source
    else:
        assert left == repaired
        assert answer.startswith("I repaired mended/calc.py; its tests pass now:\n\n```diff\n--- calc.py\n")
        results = [given for tool, given in agent.calls if tool == "Edit"]
        assert len(results) == 1
    assert not list(agent.run.workdir.glob("tmp*"))


async def test_repair_test_of_a_project_without_a_fault(make_agent: MakeAgent) -> None:
    agent = make_agent()
    project(agent, "def one():\n    return 1\n", "self.assertEqual(calc.one(), 1)")
    answer = await agent.work(REPAIR)
    assert answer == "I did not repair calc: Exit code 1\nThere is nothing to repair: all tests pass."

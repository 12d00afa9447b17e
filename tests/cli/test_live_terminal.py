"""``llmos run`` on a real terminal: what a person sees in windows of tmux, and what Ctrl-C does."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from llmos_testkit import Reply, ScriptedModel, text
from tests.cli_fixtures import Llmos
from tests.processes import left_over

pytestmark = pytest.mark.cli

GOAL = "Wait for the word to go on"
LESSON = """
name: wait
goal: Wait for the word to go on
about: Waits.
example: Wait for the word to go on
turns:
  - text: "I wait. [bold]No markup[/bold] :smile: 漢字"
    tools:
      - Bash: {{command: "trap '' TERM; until [ -e {home}/go ]; do sleep 0.1; done; echo went on"}}
  - text: It went on.
"""
NUMBERS = itertools.count()


class Terminal:
    """A window of a tmux server of its own, in which one command runs."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self._name = f"llmos-test-{os.getpid()}-{next(NUMBERS)}"
        self._environment = {name: text for name, text in environment.items() if name not in ("COLUMNS", "NO_COLOR")}

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._name, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self._environment, cwd=self.home, capture_output=True, text=True, check=True)
        return done.stdout

    def start(self, *arguments: str, columns: int = 80, rows: int = 24, before: str = "", after: str = "") -> None:
        llmos = shlex.join([sys.executable, "-m", "llmos_core", *arguments])
        script = f"{before} {llmos} {after}; echo code $?; exec cat"
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), "bash", "-o", "pipefail", "-c", script)

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    def resize(self, columns: int) -> None:
        self.tmux("resize-window", "-x", str(columns))

    def screen(self, *options: str) -> str:
        return self.tmux("capture-pane", "-p", *options)

    def story(self) -> list[str]:
        """All that was ever left on the screen, wrapped lines joined."""
        return [line.rstrip() for line in self.screen("-J", "-S", "-").splitlines() if line.strip()]

    def wait(self, pattern: str) -> str:
        """The screen once it shows the pattern."""
        deadline = time.monotonic() + 100
        while not re.search(pattern, screen := self.screen(), re.MULTILINE):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)
        return screen

    def cursor(self) -> bool:
        return self.tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._name, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def terminal(home: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    (home / "workspace/lessons").mkdir()
    (home / "workspace/lessons/wait.yaml").write_text(LESSON.format(home=home))
    window = Terminal(home, {**environment, "LLMOS_PROVIDER": "rehearsal"})
    yield window
    window.close()


def go_on(terminal: Terminal) -> None:
    (terminal.home / "go").touch()


def rows_with(text: str, screen: str) -> int:
    return sum(text in row for row in screen.splitlines())


STORY = [
    "LEARNER: a model can try any goal (model: rehearsal)",
    "  model: I wait. [bold]No markup[/bold] :smile: 漢字",
    "  step 1: Bash trap '' TERM; until",
    "Trace ",
]


def test_a_window_of_80_columns(terminal: Terminal) -> None:
    terminal.start("run", "--mode", "learner", "--max-cost", "0.5", GOAL)
    screen = terminal.wait(r"^. Bash trap '' TERM; until .*  \d+ s$")
    assert rows_with(GOAL, screen) == 1
    assert re.search(r"^LEARNER \| \$0\.0\d+ of \$0\.50 \(list price\) \| \d+ s \| Ctrl-C stops$", screen, re.MULTILINE)
    assert terminal.cursor()
    go_on(terminal)
    terminal.wait("^code 0$")
    story = terminal.story()
    at = [next(number for number, line in enumerate(story) if line.startswith(part)) for part in STORY]
    assert at == sorted(at)
    assert story[-3] == "It went on."
    assert re.match(r"Done: LEARNER, \$0\.0\d+ of \$0\.50 \(list price\), ", story[-2])
    assert not rows_with("Ctrl-C stops", terminal.screen("-S", "-"))
    assert terminal.cursor()


def test_a_window_made_narrow(terminal: Terminal) -> None:
    terminal.start("run", "--mode", "learner", GOAL)
    terminal.wait(r"Ctrl-C stops")
    for columns in (40, 25, 60, 30):
        terminal.resize(columns)
        time.sleep(0.4)
    screen = terminal.wait(r"^. Bash trap")
    assert max(len(row) for row in screen.splitlines()) <= 30
    assert rows_with(GOAL, screen) == 1
    assert rows_with("LEARNER |", screen) == 1
    go_on(terminal)
    terminal.wait("^code 0$")
    assert not rows_with("LEARNER |", terminal.screen("-S", "-"))
    assert not rows_with("Ctrl-C", terminal.screen("-S", "-"))


def test_a_narrow_and_low_window(terminal: Terminal) -> None:
    terminal.start("run", "--mode", "learner", GOAL, columns=40, rows=6)
    screen = terminal.wait(r"^. Bash trap '' TERM; .*\.\.\.  \d+ s$")
    assert re.search(r"Ctrl-C\s+stops", screen)
    go_on(terminal)
    terminal.wait("^code 0$")
    assert not rows_with("LEARNER |", terminal.screen("-S", "-"))


def test_no_colour(terminal: Terminal) -> None:
    terminal.start("run", "--mode", "learner", GOAL, before="NO_COLOR=1")
    terminal.wait(r"^. Bash trap")
    assert not re.search(r"\x1b\[[0-9;]*[34][0-8]", terminal.screen("-e"))
    go_on(terminal)
    terminal.wait("^code 0$")


@pytest.mark.parametrize("around", [{"before": "TERM=dumb"}, {"after": "2>&1 | cat"}])
def test_without_a_terminal_there_are_plain_lines(terminal: Terminal, around: dict[str, str]) -> None:
    terminal.start("run", "--mode", "learner", GOAL, **around)
    screen = terminal.wait(r"^  step 1: Bash trap '' TERM; until")
    assert not rows_with("Ctrl-C", screen)
    go_on(terminal)
    terminal.wait("^code 0$")
    assert not re.search(r"\x1b", terminal.screen("-e"))


def test_ctrl_c_once_during_a_step(terminal: Terminal, home: Path, llmos: Llmos) -> None:
    terminal.start("run", "--mode", "learner", GOAL)
    terminal.wait(r"^. Bash trap")
    terminal.press("C-c")
    terminal.wait(r"^Stopping: what was done is kept\. Press Ctrl-C again to end at once\.$")
    terminal.wait("^code 130$")
    story = terminal.story()
    assert "    cut off" in story
    assert "Error: The run was interrupted." in story
    [kept] = [line for line in story if line.startswith("Kept: ")]
    [run] = json.loads(llmos("runs", "list", "--json").stdout)
    assert run["error"]["exit_code"] == 130
    assert f"llmos undo {run['run_id'][-6:]}" in kept
    assert not rows_with("Ctrl-C stops", terminal.screen("-S", "-"))
    assert terminal.cursor()
    assert left_over(home) == []


def test_ctrl_c_twice(terminal: Terminal, home: Path) -> None:
    terminal.start("run", "--mode", "learner", GOAL)
    terminal.wait(r"^. Bash trap")
    terminal.press("C-c")
    terminal.wait(r"^Stopping: ")
    time.sleep(0.2)
    terminal.press("C-c")
    terminal.wait("^code 130$")
    assert rows_with("Ended at once.", terminal.screen()) == 1
    assert terminal.cursor()
    assert left_over(home) == []


def test_ctrl_c_during_model_text(
    home: Path, environment: Mapping[str, str], scripted_model: ScriptedModel, request: pytest.FixtureRequest
) -> None:
    for_ever = text(f"word {number} " for number in itertools.count())
    scripted_model.replies(Reply([for_ever], pause_s=0.02))
    window = Terminal(home, {**environment, **scripted_model.environment})
    request.addfinalizer(window.close)
    window.start("run", "--mode", "learner", "Tell me something")
    screen = window.wait(r"word 30 ")
    assert re.search(r"^. writing$", screen, re.MULTILINE)
    window.press("C-c")
    window.wait("^code 130$")
    assert not rows_with("Ctrl-C stops", window.screen("-S", "-"))
    assert "Error: The run was interrupted." in window.story()
    assert left_over(home) == []


def test_a_terminal_that_is_closed(terminal: Terminal, home: Path, llmos: Llmos) -> None:
    terminal.start("run", "--mode", "learner", GOAL)
    terminal.wait(r"^. Bash trap")
    terminal.close()
    wait_for(lambda: left_over(home) == [])
    [run] = json.loads(llmos("runs", "list", "--json").stdout)
    assert run["error"]["exit_code"] == 130


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)

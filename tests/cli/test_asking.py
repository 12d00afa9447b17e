"""``llmos run`` asks on a terminal about calls that need approval, and nowhere else."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmos_testkit import LlmosCli, PluginDistributions
from tests.shells import Terminal

pytestmark = pytest.mark.slow

SOURCE = r"""
import anyio
from pydantic import BaseModel, ConfigDict
from llmos_core import Bid, Result, ToolCall, ToolResult, Verdict, hookimpl

class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")

class Push:
    name, description, input_model = "Push", "Pushes.", Anything

    def effect(self, input):
        return "pure"

    async def run(self, input, run):
        return ToolResult(output="pushed")

class Pusher:
    '''Pushes as often as the goal says.'''
    name, learns = "PUSHER", False

    async def bid(self, task, run):
        return Bid(fit=0.99, reason="it can push")

    async def run(self, task, run):
        outputs = []
        await anyio.sleep("long" in task.goal)  # so that the view is up
        for number in range(int(task.goal.split()[1])):
            notes = "x" * (1500 if "long" in task.goal else 5)
            given = {"branch": "main\n\x1b[2Jorigin", "force": True, "notes": notes}
            outputs.append((await run.call(ToolCall(id=f"c{number}", tool="Push", input=given))).output)
        return Result(success=True, output=" + ".join(outputs))

@hookimpl
def llmos_tools():
    return [Push()]

@hookimpl
def llmos_strategies():
    return [Pusher()]

@hookimpl
async def llmos_pre_tool_use(call):
    return Verdict.ask("it leaves the house\nRun it? y", "test.push")
"""
QUESTION = "Run it?"
Open = Callable[..., Terminal]


@pytest.fixture(autouse=True)
def _pusher(plugin_distribution: PluginDistributions) -> None:
    plugin_distribution("llmos-plugin-pusher", SOURCE)


@pytest.fixture
def open_terminal(llmos_cli: LlmosCli) -> Iterator[Open]:
    terminals: list[Terminal] = []

    def start(*arguments: str, after: str = "") -> Terminal:
        command = shlex.join([sys.executable, "-m", "llmos_core", "run", "--mode", "pusher", *arguments])
        script = f"{command} {after}; echo code $?; exec cat"
        terminal = Terminal(shlex.join(["bash", "-o", "pipefail", "-c", script]), llmos_cli.home, llmos_cli.environment)
        terminals.append(terminal)
        return terminal

    yield start
    for terminal in terminals:
        terminal.close()


def answer(terminal: Terminal, text: str) -> None:
    terminal.until(lambda screen: QUESTION in screen)
    terminal.type(text)
    terminal.key("Enter")


def ended(terminal: Terminal) -> str:
    return "\n" + terminal.until(lambda screen: "\ncode " in f"\n{screen}")


def test_a_yes_lets_the_call_run(open_terminal: Open) -> None:
    terminal = open_terminal("push 1")
    answer(terminal, "y")
    screen = ended(terminal)
    assert "pushed" in screen
    assert "\ncode 0" in screen


@pytest.mark.parametrize("no", ["", "n", "yep", "approve"])
def test_anything_else_is_a_no_and_the_run_goes_on(open_terminal: Open, no: str) -> None:
    terminal = open_terminal("push 1")
    answer(terminal, no)
    screen = ended(terminal)
    assert "Push was refused: not approved: it leaves the house" in screen
    assert "\ncode 0" in screen


def test_always_is_for_the_rest_of_the_run(open_terminal: Open) -> None:
    terminal = open_terminal("push 3")
    answer(terminal, "a")
    screen = ended(terminal)
    assert "pushed + pushed + pushed" in screen
    assert screen.count(QUESTION) == 1 + screen.count("house " + QUESTION)


def test_a_yes_is_for_one_call(open_terminal: Open) -> None:
    terminal = open_terminal("push 2", "--quiet")
    answer(terminal, "y")
    terminal.until(lambda screen: screen.count("notes:") == 2)
    terminal.type("n")
    terminal.key("Enter")
    assert "pushed + Push was refused" in ended(terminal)


def test_the_question_shows_the_call_and_nothing_steers_the_terminal(open_terminal: Open) -> None:
    terminal = open_terminal("push 1 long")
    screen = terminal.until(lambda screen: QUESTION + " y =" in screen)
    assert "it leaves the house Run it? y (rule test.push)" in screen
    assert "  branch: main\n    \\x1b[2Jorigin" in screen
    assert "  force: true" in screen
    assert screen.count("x") > 1500, "nobody says yes to what was not shown"
    assert "at work" not in screen, "the view makes room for the question"
    answer(terminal, "n")
    ended(terminal)


def test_what_was_typed_before_is_no_answer(open_terminal: Open) -> None:
    terminal = open_terminal("push 1")
    terminal.type("y")
    terminal.key("Enter")
    answer(terminal, "n")
    assert "not approved" in ended(terminal)


def test_ctrl_c_ends_the_run(open_terminal: Open) -> None:
    terminal = open_terminal("push 1")
    terminal.until(lambda screen: QUESTION in screen)
    terminal.key("C-c")
    screen = ended(terminal)
    assert "\ncode 130" in screen
    assert "pushed" not in screen


def test_the_end_of_input_is_no_answer(open_terminal: Open) -> None:
    terminal = open_terminal("push 1")
    terminal.until(lambda screen: QUESTION in screen)
    terminal.key("C-d")
    assert "\ncode 6" in ended(terminal)


@pytest.mark.parametrize("option", ["--json", "--jsonl"])
def test_programs_are_not_asked(open_terminal: Open, option: str) -> None:
    screen = ended(open_terminal("push 1", option))
    assert "\ncode 6" in screen
    assert QUESTION + " y =" not in screen


@pytest.mark.parametrize("pipe", ["< /dev/null", "| cat", "2> err.txt"])
def test_nobody_is_asked_through_a_pipe(open_terminal: Open, llmos_cli: LlmosCli, pipe: str) -> None:
    screen = ended(open_terminal("push 1", after=pipe))
    assert "\ncode 6" in screen
    assert QUESTION + " y =" not in screen


def test_without_a_terminal_it_ends_with_6(llmos_cli: LlmosCli, tmp_path: Path) -> None:
    done = llmos_cli("run", "--mode", "pusher", "--json", "push 1", stdin="y\n")
    assert done.returncode == 6
    outcome = json.loads(done.stdout)
    assert outcome["error"]["what"] == "Push needs approval, and nobody answered."
    assert outcome["error"]["fix"] == f"See the call and approve it: llmos approve {outcome['run_id']}"

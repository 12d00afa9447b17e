"""A run that needed a yes, the yes, and the next run: through the commands, as their users have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result

from llmos_core import LLMOS, LLMOSError, Outcome, Run
from llmos_plugin_approvals.approvals import approvals
from llmos_plugin_approvals.approve import approve
from llmos_testkit import make_plugin

from .conftest import GOAL, Boot, Shell, commands

PUSH = "git push origin main"


@pytest.fixture(autouse=True)
def _discover_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands boot a system of their own: no other plugin matters to them."""
    monkeypatch.setenv("LLMOS_NO_PLUGINS", "*")
    monkeypatch.setenv("COLUMNS", "120")


async def invoke(command: Any, *arguments: str, root: Path) -> Result:
    """Run a command in a thread, as it has no event loop of its own."""
    given = [*arguments, "--workspace", str(root / "workspace")]
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(command, given))


async def on_a_terminal(monkeypatch: pytest.MonkeyPatch, command: Any, *arguments: str, root: Path) -> Result:
    """Run a command where somebody is there who says yes."""
    monkeypatch.setattr("llmos_plugin_approvals.approve._is_terminal", lambda: True)
    given = [*arguments, "--workspace", str(root / "workspace")]
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(command, given, input="y\n"))


async def run(boot: Boot, *wanted: str, goal: str = GOAL, **fields: Any) -> Outcome:
    async with boot(commands(*wanted)) as system:
        return await system.execute(goal, **fields)


async def test_the_next_run_of_the_goal_may_make_the_call_once(boot: Boot, shell: Shell, tmp_path: Path) -> None:
    first = await run(boot, PUSH)
    assert first.exit_code == 6
    told = await invoke(approve, first.run_id, "--yes", root=tmp_path)
    assert told.exit_code == 0, told.output
    for words in (
        f"command: {PUSH}",
        "is that wise? (rule test.shell)",
        "Approved: 1 call",
        f"  llmos resume {first.run_id}\n",
    ):
        assert words in told.output
    assert (await run(boot, PUSH, goal="Another goal")).exit_code == 6
    assert (await run(boot, PUSH + " --force")).exit_code == 6
    assert shell.ran == []
    assert (await run(boot, PUSH)).output == PUSH
    assert (await run(boot, PUSH)).exit_code == 6
    assert shell.ran == [PUSH]


async def test_a_run_that_goes_on_with_it_may_make_the_call(boot: Boot, shell: Shell, tmp_path: Path) -> None:
    first = await run(boot, PUSH)
    await invoke(approve, "last", "--yes", root=tmp_path)
    assert (await run(boot, PUSH, goal="Go on", continues=first.run_id)).output == PUSH


async def test_every_run_of_the_project(boot: Boot, shell: Shell, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    await run(boot, PUSH)
    await invoke(approve, "last", "--project", "--yes", root=tmp_path)
    for goal in (GOAL, "Another goal"):
        assert (await run(boot, PUSH, goal=goal)).success
    assert (await run(boot, PUSH + " --force")).exit_code == 6
    assert (await run(boot, PUSH, project="other")).exit_code == 6
    assert (await run(boot, PUSH, directory=str(elsewhere))).exit_code == 6


async def test_in_a_directory_of_its_own(boot: Boot, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    await run(boot, f"cat {place}/a", directory=str(place))
    assert f"({GOAL}, in {place})" in (await invoke(approvals, "list", root=tmp_path)).output
    listed = json.loads((await invoke(approvals, "list", "--json", root=tmp_path)).output)
    assert listed["waiting"][0]["directory"] == str(place)
    await invoke(approve, "last", "--project", "--yes", root=tmp_path)
    assert f"  {place}  " in (await invoke(approvals, "list", root=tmp_path)).output
    assert (await run(boot, f"cat {place}/a", directory=str(place))).success
    assert (await run(boot, f"cat {place}/a")).exit_code == 6


async def test_every_call_that_fits(boot: Boot, tmp_path: Path) -> None:
    await run(boot, PUSH)
    told = await invoke(approve, "last", "--pattern", "git push *", "--yes", root=tmp_path)
    assert "every call of Bash in this project that fits: git push *" in told.output
    assert (await run(boot, "git push origin topic", goal="Another goal")).success
    assert (await run(boot, "git push origin; rm -rf ~")).exit_code == 6
    assert (await run(boot, "git fetch")).exit_code == 6


async def test_a_wide_pattern_is_warned_of(boot: Boot, tmp_path: Path) -> None:
    await run(boot, PUSH)
    assert "wide pattern" in (await invoke(approve, "last", "--pattern", "git *", "--yes", root=tmp_path)).output


@pytest.mark.parametrize("pattern", ["*", "**", "?*", " * ", ""])
async def test_a_pattern_that_fits_everything_is_refused(boot: Boot, tmp_path: Path, pattern: str) -> None:
    await run(boot, PUSH)
    told = await invoke(approve, "last", "--pattern", pattern, "--yes", root=tmp_path)
    assert isinstance(told.exception, LLMOSError)
    assert told.exception.exit_code == 2
    assert "every call" in told.exception.what
    assert (await run(boot, PUSH)).exit_code == 6


async def test_a_no_is_an_answer_too(boot: Boot, shell: Shell, tmp_path: Path) -> None:
    await run(boot, PUSH)
    assert "Refused: 1 call" in (await invoke(approve, "last", "--deny", "--yes", root=tmp_path)).output
    refused = await run(boot, PUSH)
    assert refused.success
    assert refused.output == "Bash was refused: not approved: is that wise?"
    assert shell.ran == []


async def test_without_a_terminal_it_needs_yes(boot: Boot, tmp_path: Path) -> None:
    await run(boot, PUSH)
    told = await invoke(approve, "last", root=tmp_path)
    assert isinstance(told.exception, LLMOSError)
    assert (told.exception.exit_code, told.exception.fix) == (2, "Add --yes.")
    assert PUSH in told.output
    assert (await run(boot, PUSH)).exit_code == 6


async def test_what_waits_for_nothing_is_told(boot: Boot, tmp_path: Path) -> None:
    await run(boot)
    told = await invoke(approve, "last", "--yes", root=tmp_path)
    assert isinstance(told.exception, LLMOSError)
    assert told.exception.exit_code == 2
    assert "waits for no approval" in told.exception.what


async def test_what_was_made_before_the_question_is_approved_with_it(boot: Boot, shell: Shell, tmp_path: Path) -> None:
    """Else two questions would take turns for ever: each attempt uses one answer up and waits for the other."""
    await run(boot, "one", "two")
    await invoke(approve, "last", "--yes", root=tmp_path)
    assert (await run(boot, "one", "two")).exit_code == 6
    told = await invoke(approve, "last", "--yes", root=tmp_path)
    assert "the next run makes it again" in told.output
    assert "Approved: 2 calls" in told.output
    assert (await run(boot, "one", "two")).output == "one | two"
    assert shell.ran == ["one", "one", "two"]


async def test_an_answer_is_back_where_its_call_did_not_start(boot: Boot, shell: Shell, tmp_path: Path) -> None:
    """A trace is refused as a whole before its first step: what was used up for its steps is not lost."""

    async def ahead(run: Run) -> str:
        from llmos_core import ToolCall

        calls = [ToolCall(id=name, tool="Bash", input={"command": name}) for name in ("one", "two")]
        await run.foresee(calls)
        return " | ".join([(await run.call(call)).output for call in calls])

    async def follow() -> Outcome:
        async with boot(ahead) as system:
            return await system.execute(GOAL)

    await run(boot, "one")
    await invoke(approve, "last", "--yes", root=tmp_path)
    assert (await follow()).exit_code == 6
    listed = json.loads((await invoke(approvals, "list", "--json", root=tmp_path)).output)
    assert [kept["input"]["command"] for kept in listed["remembered"]] == ["one"]
    assert [call["input"]["command"] for call in listed["waiting"][0]["calls"]] == ["two"]
    assert "Approved: 1 call" in (await invoke(approve, "last", "--yes", root=tmp_path)).output
    assert (await follow()).output == "one | two"
    assert shell.ran == ["one", "two"]
    assert json.loads((await invoke(approvals, "list", "--json", root=tmp_path)).output)["remembered"] == []


async def test_what_a_rule_denies_stays_denied(boot: Boot, shell: Shell, tmp_path: Path) -> None:
    from llmos_core import ToolCall, Verdict

    async def never(call: ToolCall) -> Verdict:
        return Verdict.deny("never", "test.never")

    await run(boot, PUSH)
    await invoke(approve, "last", "--project", "--yes", root=tmp_path)
    async with boot(commands(PUSH), {"never": make_plugin(llmos_pre_tool_use=never)}) as system:
        assert (await system.execute(GOAL)).output == "Bash was refused: never"
    assert shell.ran == []


async def test_list_and_forget(boot: Boot, tmp_path: Path) -> None:
    assert "Nothing is remembered." in (await invoke(approvals, "list", root=tmp_path)).output
    await run(boot, PUSH)
    waiting = (await invoke(approvals, "list", root=tmp_path)).output
    assert f"Bash {PUSH}" in waiting
    assert "Answer: llmos approve" in waiting
    await invoke(approve, "last", "--project", "--yes", root=tmp_path)
    listed = json.loads((await invoke(approvals, "list", "--json", root=tmp_path)).output)
    assert listed["waiting"] == []
    [kept] = listed["remembered"]
    assert (kept["allowed"], kept["scope"], kept["input"]) == (True, "project", {"command": PUSH})
    assert PUSH in (await invoke(approvals, "list", root=tmp_path)).output
    for wrong in ([], ["nope"], ["x", "--all"]):
        told = await invoke(approvals, "forget", *wrong, root=tmp_path)
        assert isinstance(told.exception, LLMOSError)
        assert told.exception.exit_code == 2
    gone = await invoke(approvals, "forget", kept["id"][:8], "--json", root=tmp_path)
    assert json.loads(gone.output) == {"forgotten": [kept["id"]]}
    assert (await run(boot, PUSH)).exit_code == 6


async def test_json_of_approve(boot: Boot, tmp_path: Path) -> None:
    first = await run(boot, PUSH)
    told = json.loads((await invoke(approve, "last", "--yes", "--json", root=tmp_path)).output)
    assert told["run_id"] == first.run_id
    assert (told["answer"], told["scope"], told["goal"]) == ("approved", "once", GOAL)
    [waiting] = told["calls"]
    assert (waiting["tool"], waiting["input"], waiting["rule"]) == ("Bash", {"command": PUSH}, "test.shell")
    assert told["again"] == f"llmos resume {first.run_id}"


async def test_json_asks_nobody(boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(boot, PUSH)
    told = await on_a_terminal(monkeypatch, approve, "last", "--json", root=tmp_path)
    assert isinstance(told.exception, LLMOSError)
    assert (told.exception.exit_code, told.exception.fix) == (2, "Add --yes.")
    assert told.output == ""
    assert (await run(boot, PUSH)).exit_code == 6


@pytest.mark.parametrize("deny", [False, True])
async def test_what_is_asked_about_is_shown_where_it_is_asked(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deny: bool
) -> None:
    """Else ``llmos approve last > file`` would ask for a yes to a call that nobody sees."""
    await run(boot, PUSH)
    told = await on_a_terminal(monkeypatch, approve, "last", *(["--deny"] if deny else []), root=tmp_path)
    assert told.exit_code == 0, told.output
    assert told.stderr.index(PUSH) < told.stderr.index("is that wise?") < told.stderr.index("Refuse" if deny else "App")
    assert PUSH not in told.stdout


async def test_the_ways_on(boot: Boot, tmp_path: Path) -> None:
    """A trace is made where a model was at work from the goal on; variables are kept nowhere."""
    again, told = "Or run the goal again, with the same options: that makes a trace", []
    for command, fields in (("one", {}), ("two", {"continues": "last"}), ("three", {"env": {"A": "b"}})):
        async with boot(commands(command), mode="LEARNER") as system:
            await system.execute(GOAL, **fields)
        told.append((await invoke(approve, "last", "--yes", root=tmp_path)).output)
    assert ["llmos resume" in one for one in told] == [True, True, False]
    assert [again in one for one in told] == [True, False, False]
    assert "Run the goal again, with the same options: its variables (--env) are kept nowhere." in told[2]


async def test_a_run_elsewhere_of_the_same_system_waits_for_itself(boot: Boot, tmp_path: Path) -> None:
    """A task within a run is approved by its own id, which its error names."""
    from llmos_core import Task

    async def act(run: Run) -> str:
        if run.task.goal == "part":
            return str(await commands(PUSH)(run))
        part = await run.execute(Task(goal="part", mode="SCRIPT"))
        return part.error.fix if part.error else part.output

    async def whole(system: LLMOS) -> str:
        return (await system.execute("whole")).output

    async with boot(act) as system:
        fix = await whole(system)
    run_id = fix.rpartition(" ")[2]
    assert (await invoke(approve, run_id, "--yes", root=tmp_path)).exit_code == 0
    async with boot(act) as system:
        assert await whole(system) == PUSH

"""How long answers for once live, and which runs wait: over several runs of the same goal and of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmos_core import LLMOSError, Outcome, Run, ToolCall
from llmos_plugin_approvals.approvals import approvals
from llmos_plugin_approvals.approve import approve

from .conftest import GOAL, Boot, commands
from .test_commands import PUSH, invoke, run


@pytest.fixture(autouse=True)
def _discover_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_NO_PLUGINS", "*")


async def listed(root: Path) -> tuple[list[str], list[str]]:
    """The commands that are remembered, and the runs that wait."""
    told = json.loads((await invoke(approvals, "list", "--json", root=root)).output)
    return [one["input"]["command"] for one in told["remembered"]], [one["run_id"] for one in told["waiting"]]


async def failing(boot: Boot, *wanted: str, **fields: Any) -> Outcome:
    """A run that fails, after these calls."""

    async def act(run: Run) -> str:
        await commands(*wanted)(run)
        raise LLMOSError("It failed.")

    async with boot(act) as system:
        return await system.execute(GOAL, **fields)


@pytest.mark.parametrize("fails", [False, True])
async def test_the_next_run_is_the_only_one(boot: Boot, tmp_path: Path, fails: bool) -> None:
    """One that worked without the call shows that it is not needed; later it would be a surprise."""
    await run(boot, PUSH)
    await invoke(approve, "last", "--yes", root=tmp_path)
    await run(boot, goal="Another goal")
    await run(boot, project="other")
    assert (await listed(tmp_path))[0] == [PUSH]
    if fails:
        await run(boot, "ls", goal="Allow ls")
        await invoke(approve, "last", "--project", "--yes", root=tmp_path)
        await failing(boot, "ls")
        assert (await listed(tmp_path))[0] == ["ls"]
    else:
        await run(boot)
        assert (await listed(tmp_path))[0] == []
    assert (await run(boot, PUSH)).exit_code == 6


async def test_a_run_that_goes_on_is_the_next(boot: Boot, tmp_path: Path) -> None:
    first = await run(boot, PUSH)
    await invoke(approve, "last", "--yes", root=tmp_path)
    await run(boot, goal="Go on", continues=first.run_id)
    assert (await listed(tmp_path))[0] == []


async def test_a_run_that_could_do_nothing_is_not_the_next(boot: Boot, tmp_path: Path) -> None:
    await run(boot, PUSH)
    await invoke(approve, "last", "--yes", root=tmp_path)
    await failing(boot)
    second = await failing(boot)
    assert (await run(boot, PUSH, goal="Go on", continues=second.run_id)).output == PUSH


@pytest.mark.parametrize("goes_on", [True, False])
async def test_answers_stay_together_until_all_are_given(boot: Boot, tmp_path: Path, goes_on: bool) -> None:
    """Whether each attempt begins again or goes on with the one before: else the questions would take turns."""

    async def act(run: Run) -> str:
        calls = [ToolCall(id=name, tool="Bash", input={"command": name}) for name in ("one", "two", "three")]
        await run.foresee(calls)
        return " | ".join([(await run.call(call)).output for call in calls])

    last = await run(boot, "one")
    await invoke(approve, "last", "--yes", root=tmp_path)
    for _ in range(3):
        fields: dict[str, Any] = {"goal": "Go on", "continues": last.run_id} if goes_on else {"goal": GOAL}
        async with boot(act) as system:
            last = await system.execute(**fields)
        if last.success:
            break
        assert (await listed(tmp_path))[1] == [last.run_id]
        await invoke(approve, "last", "--yes", root=tmp_path)
    assert last.output == "one | two | three"
    assert await listed(tmp_path) == ([], [])


async def test_a_goal_waits_in_each_directory(boot: Boot, tmp_path: Path) -> None:
    waiting = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        waiting.append((await run(boot, PUSH, directory=str(tmp_path / name))).run_id)
    assert (await listed(tmp_path))[1] == waiting[::-1]
    await run(boot, directory=str(tmp_path / "a"))
    assert (await listed(tmp_path))[1] == waiting[1:]


async def test_a_run_that_was_gone_on_with_waits_no_more(boot: Boot, tmp_path: Path) -> None:
    first, other = [await run(boot, PUSH, goal=goal) for goal in (GOAL, "Another goal")]
    await run(boot, goal="Go on", continues=first.run_id)
    assert (await listed(tmp_path))[1] == [other.run_id]
    again = await run(boot, PUSH, goal="Go on", continues=other.run_id)
    assert (await listed(tmp_path))[1] == [again.run_id]


async def test_runs_that_go_on_with_different_ones_wait_each(boot: Boot, tmp_path: Path) -> None:
    first, other = [await run(boot, PUSH, goal=goal) for goal in (GOAL, "Another goal")]
    waiting = [(await run(boot, PUSH, goal="Go on", continues=before.run_id)).run_id for before in (first, other)]
    assert (await listed(tmp_path))[1] == waiting[::-1]

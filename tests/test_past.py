"""Runs that are over: found by id, by its last digits or as the last, and gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from llmos_core import LLMOS, Run, RunFinished, UsageError, UserInput
from llmos_core.host.settings import SettingsFile
from tests.cli_fixtures import Llmos, environment, home, llmos
from tests.parts import Parts, Script

__all__ = ["environment", "home", "llmos"]

IDS = ["2026-01-02-000000-aaa111", "2026-01-02-000001-bbb111", "2026-01-03-000000-ccc333"]


async def say(run: Run) -> str:
    return f"goes on with {run.task.continues}"


def system_in(root: Path, act: Any = say) -> LLMOS:
    return LLMOS(root, settings=SettingsFile(), discover=False, plugins={"parts": Parts(strategies=[Script(act)])})


@pytest.fixture
def system(tmp_path: Path) -> LLMOS:
    """A system with three runs, of which only the journals are there."""
    system = system_in(tmp_path / "space")
    assert system.workspace
    for run_id in IDS:
        journal = system.workspace.journal(run_id)
        journal.parent.mkdir(exist_ok=True)
        journal.touch()
        system.workspace.journal(f"{run_id}.verify").touch()
    return system


@pytest.mark.parametrize(
    ("text", "found"),
    [(IDS[0], IDS[0]), ("last", IDS[2]), ("ccc333", IDS[2]), ("333", IDS[2]), ("a111", IDS[0]), ("-bbb111", IDS[1])],
)
def test_how_a_run_is_named(system: LLMOS, text: str, found: str) -> None:
    past = system.past(text)
    assert past.id == found
    assert (past.outcome, past.start, past.end, list(past.events())) == (None, None, None, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("111", "111 ends the ids of 2 runs."),
        ("33", "There is no run 33."),
        ("", "There is no run ."),
        ("zzz", "There is no run zzz."),
        ("2026-01-02-000000-ffffff", "There is no run 2026-01-02-000000-ffffff."),
        ("../../etc/passwd", "There is no run ../../etc/passwd."),
        ("*", "There is no run *."),
        ("LAST", "There is no run LAST."),
    ],
)
def test_what_names_no_run_or_several(system: LLMOS, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        system.past(text)
    assert caught.value.what == message
    assert caught.value.fix == "See the runs with: llmos runs list"


def test_where_nothing_was_run_and_where_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no run last"):
        system_in(tmp_path / "new").past("last")
    with pytest.raises(UsageError, match="has no workspace"):
        LLMOS.in_memory().past("last")


async def test_a_run_is_read_as_it_was(tmp_path: Path) -> None:
    system = system_in(tmp_path)
    outcome = await system.execute("go")
    past = system.past("last")
    assert past.outcome == outcome
    first, *_, last = past.events()
    assert isinstance(first, UserInput)
    assert isinstance(last, RunFinished)
    journal = next(tmp_path.rglob("*.jsonl"))
    with journal.open("ab") as file:
        file.write(b"no event\n")
    assert "cannot be read" in list(system.past("last").events())[-1].text  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["last", "ccc333", IDS[2]])
async def test_the_run_to_go_on_with_is_known_by_its_id_before_it_begins(system: LLMOS, text: str) -> None:
    seen: list[Any] = []
    outcome = await system.execute("and now?", continues=text, on_event=seen.append)
    assert outcome.output == f"goes on with {IDS[2]}"
    assert seen[0].task.continues == IDS[2]


@pytest.mark.parametrize("text", ["111", "zzz", ""])
async def test_an_unknown_run_cannot_be_gone_on_with(system: LLMOS, text: str) -> None:
    with pytest.raises(UsageError, match="run"):
        await system.execute("and now?", continues=text)
    with pytest.raises(UsageError, match="run"):
        await system.explain(system_task(text))
    assert system.workspace
    assert len(list(system.workspace.journals())) == 3


def system_task(continues: str) -> Any:
    from llmos_core import Task

    return Task(goal="and now?", continues=continues)


async def test_without_a_workspace_nothing_can_be_gone_on_with() -> None:
    async with LLMOS.in_memory({"parts": Parts(strategies=[Script(say)])}) as system:
        with pytest.raises(UsageError, match="has no workspace"):
            await system.execute("and now?", continues="last")


def test_runs_show_takes_the_same_names(llmos: Llmos) -> None:
    llmos("run", "--mode", "follower", "no such goal")
    run_id = llmos("runs", "list").stdout.decode().split("\n")[1].split()[0]
    whole = llmos("runs", "show", run_id)
    assert b"no such goal" in whole.stdout
    for text in ("last", run_id[-6:]):
        assert llmos("runs", "show", text).stdout == whole.stdout
    unknown = llmos("runs", "show", "zzz")
    assert unknown.returncode == 2
    assert unknown.stderr == b"Error: There is no run zzz.\nSee the runs with: llmos runs list\n"


async def test_a_projects_directory_is_that_of_this_workspace(tmp_path: Path) -> None:
    outcome = await system_in(tmp_path / "space").execute("go", project_name="sales")
    shutil.copytree(tmp_path / "space", tmp_path / "copy")
    for place in ("space", "copy"):
        past = system_in(tmp_path / place).past("last")
        assert (past.id, past.directory) == (outcome.run_id, str(tmp_path / place / "projects/sales/output"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    await system_in(tmp_path / "space").execute("go", directory=str(elsewhere))
    assert system_in(tmp_path / "space").past("last").directory == str(elsewhere)

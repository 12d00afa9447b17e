"""``llmos resume``: what is left to do of a run, where, and that it is done once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from filelock import FileLock

from llmos_core import LLMOS, LLMOSError, ModelUsed, Outcome, PastRun, Run, SettingsFile, Usage, UsageError
from llmos_plugin_history.resume import GO_ON, task_to_resume
from llmos_testkit import Script, make_plugin

from .conftest import Llmos

USED = ModelUsed(
    request_id="r1", provider="p", model="m", status=200, usage=Usage(), cost_usd=0, billing="real", complete=True
)


def run(space: Path, goal: str = "Do it", *, billing: str | None = "real", **fields: Any) -> PastRun:
    """A run that asked a model, and failed."""

    async def act(run: Run) -> str:
        if billing is not None:
            run.emit(USED.model_copy(update={"billing": billing}))
        raise LLMOSError("It failed.")

    plugins = {"parts": make_plugin(strategies=[Script(act)])}
    system = LLMOS(space, settings=SettingsFile(), discover=False, plugins=plugins)

    async def execute() -> Outcome:
        return await system.execute(goal, **fields)

    return system.past(anyio.run(execute).run_id)


@pytest.mark.parametrize("billing", ["real", "free"])
def test_a_model_goes_on_with_its_conversation(space: Path, billing: str) -> None:
    past = run(space, billing=billing)
    task = task_to_resume(past)
    assert (task.goal, task.continues, task.directory) == (GO_ON, past.id, None)


@pytest.mark.parametrize("billing", ["rehearsal", None])
def test_a_rehearsal_and_what_asked_no_model_begin_again(space: Path, billing: str | None) -> None:
    task = task_to_resume(run(space, billing=billing))
    assert (task.goal, task.continues) == ("Do it", None)


@pytest.mark.parametrize("billing", ["real", None])
def test_it_works_in_the_same_directory_wherever_it_is_called(
    space: Path, place: Path, monkeypatch: pytest.MonkeyPatch, billing: str | None
) -> None:
    monkeypatch.chdir(place.parent)
    past = run(space, billing=billing, directory="place")
    (place / "elsewhere/place").mkdir(parents=True)
    monkeypatch.chdir(place / "elsewhere")
    assert task_to_resume(past).directory == str(place.resolve())


def test_where_a_killed_run_worked_is_not_guessed(space: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.parent)
    for directory, known in (("place", False), (str(place), True)):
        past = run(space, directory=directory)
        past.outcome = None
        if known:
            assert task_to_resume(past).directory == str(place)
            continue
        with pytest.raises(UsageError, match="cannot be resumed") as told:
            task_to_resume(past)
        assert told.value.fix == "Run the goal again, with --dir."


def test_a_run_is_gone_on_with_once(llmos: Llmos, space: Path) -> None:
    first = run(space)
    run(space, "Another")
    second = run(space, "Go on", continues=first.id)
    run(space, "Another")
    done = llmos("resume", first.id, "--workspace", str(space))
    assert done.returncode == 2
    assert f"Run {first.id} was gone on with by run {second.id}." in done.stderr
    assert len(list((space / "memories/sessions").glob("*/*.jsonl"))) == 4, "nothing was run"


def test_only_one_process_goes_on_with_a_run(llmos: Llmos, space: Path) -> None:
    past = run(space)
    lock = space / "state/resume" / f"{past.id}.lock"
    lock.parent.mkdir()
    with FileLock(lock):
        done = llmos("resume", past.id, "--workspace", str(space))
        assert done.returncode == 2
        assert "is being gone on with" in done.stderr
    assert "is being gone on with" not in llmos("resume", past.id, "--workspace", str(space)).stderr
    assert not list(lock.parent.iterdir())

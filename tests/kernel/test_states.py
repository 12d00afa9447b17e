"""The state that a run leaves: kept however it ended, and forgotten together with all that is kept of the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from llmos_core import LLMOS, PastRun, Run, ToolResult, TreeState
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile
from llmos_core.kernel.snapshot import Bounds, capture
from llmos_core.kernel.states import StateStore
from tests.parts import Echo, Parts, Script, call


class Writer(Echo):
    """Writes its text into a file of the working directory."""

    def __init__(self) -> None:
        super().__init__("workspace")

    async def run(self, input: Any, run: Run) -> ToolResult:
        (run.workdir / "file").write_text(input.text)
        return ToolResult(output="written")


def system_in(root: Path, act: Any, **limits: Any) -> LLMOS:
    plugins = {"parts": Parts(tools=[Writer(), *limits.pop("tools", ())], strategies=[Script(act)])}
    file = SettingsFile(settings=Settings(limits=LimitSettings(**limits)))
    return LLMOS(root, settings=file, discover=False, plugins=plugins)


def text_of(run: PastRun, state: TreeState | None) -> str | None:
    if state is None or "file" not in state.entries:
        return None
    return run.content(state.entries["file"].digest or "").read_text()


async def write(run: Run) -> str:
    await run.call(call("new"))
    return "done"


async def fail(run: Run) -> str:
    await run.call(call("new"))
    raise RuntimeError("later")


async def wait(run: Run) -> str:
    await run.call(call("new"))
    await anyio.sleep_forever()
    return ""


@pytest.mark.parametrize("act", [write, fail])
async def test_the_states_before_and_after_are_kept(tmp_path: Path, act: Any) -> None:
    async with system_in(tmp_path, act) as system:
        output = system.create_project("default").output
        (output / "file").write_text("old")
        outcome = await system.execute("go")
        (output / "file").write_text("later still")
        past = system.past(outcome.run_id)
    assert outcome.success is (act is write)
    assert (text_of(past, past.start), text_of(past, past.end)) == ("old", "new")
    assert past.outcome == outcome
    assert past.state_of(output) != past.end
    (output / "file").write_text("new")
    assert past.state_of(output) == past.end


@pytest.mark.parametrize("deadline", [True, False], ids=["its deadline", "cancelled"])
async def test_they_are_kept_where_the_run_was_stopped(tmp_path: Path, deadline: bool) -> None:
    async with system_in(tmp_path, wait) as system:
        if deadline:
            await system.execute("go", timeout_s=0.1)
        else:
            with system.events() as events:
                async with anyio.create_task_group() as group:
                    group.start_soon(system.execute, "go")
                    async for event in events:
                        if event.type == "tool_output":  # type: ignore[attr-defined]
                            group.cancel_scope.cancel()
                            break
        past = system.past("last")
    assert past.outcome is not None
    assert past.outcome.exit_code == (124 if deadline else 130)
    assert past.start == TreeState()
    assert text_of(past, past.end) == "new"


async def test_a_run_that_could_change_nothing_leaves_no_state(tmp_path: Path) -> None:
    async def act(run: Run) -> str:
        return (await run.call(call(tool="Echo"))).output

    class Pure(Writer):
        def effect(self, input: Any) -> Any:
            return "pure"

    plugins = {"parts": Parts(tools=[Pure()], strategies=[Script(act)])}
    async with LLMOS(tmp_path, settings=SettingsFile(), discover=False, plugins=plugins) as system:
        await system.execute("go")
        past = system.past("last")
    assert (past.start, past.end) == (None, None)


async def test_what_is_too_large_is_told_in_the_state(tmp_path: Path) -> None:
    async with system_in(tmp_path, write, start_state_max_files=0) as system:
        await system.execute("go")
        past = system.past("last")
    assert past.start == TreeState()
    assert past.end is not None
    assert "more than 0 files" in (past.end.missing or "")


async def test_an_observer_of_the_end_sees_the_state_that_is_kept(tmp_path: Path) -> None:
    seen: list[TreeState] = []

    async def finish(outcome: Any, run: Run) -> None:
        (run.workdir / "file").write_text("too late")
        seen.append(await run.tree_state())

    plugins = {"parts": Parts(tools=[Writer()], strategies=[Script(write)], llmos_stop=finish)}
    async with LLMOS(tmp_path, settings=SettingsFile(), discover=False, plugins=plugins) as system:
        await system.execute("go")
        past = system.past("last")
    assert seen == [past.end]
    assert text_of(past, past.end) == "new"


async def test_plugins_keep_files_of_a_run(tmp_path: Path) -> None:
    async def act(run: Run) -> str:
        if run.task.goal == "second":
            return (run.files_of(first) / "session").read_text()
        (run.files / "session").write_text("abc")
        assert not run.files.is_relative_to(run.workdir)
        return run.id

    first = ""
    async with system_in(tmp_path, act) as system:
        first = (await system.execute("first")).output
        assert (await system.execute("second")).output == "abc"
    async with LLMOS.in_memory({"parts": Parts(strategies=[Script(act)])}) as memory:
        outcome = await memory.execute("first")
    assert outcome.error
    assert outcome.error.what == "This system keeps no files."


def test_all_that_is_kept_of_old_runs_is_forgotten_together(tmp_path: Path) -> None:
    root, states = tmp_path / "root", StateStore(tmp_path / "states", latest=5)
    root.mkdir()
    digests: dict[str, list[str]] = {}
    for number in range(60):
        run_id = f"run-{number:03}"
        digests[run_id] = []
        for moment in ("starts", "ends"):
            (root / "file").write_text(f"{number} {moment}")
            state = capture(root, Bounds(), states.keep)
            digest = state.entries["file"].digest or ""
            digests[run_id].append(digest)
            os.utime(states.content(digest), (0, 0))
            states.save(run_id, state, moment)  # type: ignore[arg-type]
        states.files(run_id).mkdir(parents=True)
        (states.files(run_id) / "session").write_text("x")
        (states.files(run_id) / "more").mkdir()
    (states.files("x").parent / ".DS_Store").write_text("of the desktop")
    states.save("run-060", capture(root, Bounds(), states.keep))
    kept = [path.stem for path in sorted((tmp_path / "states/starts").iterdir())]
    assert len(kept) <= 25
    assert [path.stem for path in sorted((tmp_path / "states/ends").iterdir())] == kept[:-1]
    directories = sorted(path.name for path in (tmp_path / "states/runs").iterdir() if path.is_dir())
    assert directories == kept[:-1]
    for run_id, names in digests.items():
        gone = run_id not in kept
        for moment in ("starts", "ends"):
            if gone:
                with pytest.raises(FileNotFoundError):
                    states.load(run_id, moment)  # type: ignore[arg-type]
        assert [states.content(name).exists() for name in names] == [not gone] * 2


def test_a_stray_file_beside_the_runs_stops_no_run(tmp_path: Path) -> None:
    root, states = tmp_path / "root", StateStore(tmp_path / "states", latest=1)
    root.mkdir()
    states.files("x").parent.mkdir(parents=True)
    (states.files("x").parent / ".DS_Store").write_text("of the desktop")
    for number in range(30):
        states.save(f"run-{number:03}", capture(root, Bounds(), states.keep))
    assert len(list((tmp_path / "states/starts").iterdir())) <= 21


async def test_nothing_waits_for_the_states_of_others(tmp_path: Path) -> None:
    """Two runs at once keep a state each."""

    async def act(run: Run) -> str:
        await run.call(call(run.task.goal))
        await checkpoint()
        return ""

    async with system_in(tmp_path, act) as system:

        async def go(goal: str) -> None:
            await system.execute(goal, project_name=goal)

        async with anyio.create_task_group() as group:
            for goal in ("a", "b"):
                group.start_soon(go, goal)
        assert system.workspace
        pasts = [system.past(journal.stem) for journal in system.workspace.journals()]
    assert {past.outcome.goal: text_of(past, past.end) for past in pasts if past.outcome} == {"a": "a", "b": "b"}

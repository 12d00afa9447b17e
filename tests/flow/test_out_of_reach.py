"""The agent cannot change what rules it: every tool, every way and every spelling, for it and for a sub-agent."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import llmos_plugin_security.plugin
import llmos_plugin_tools.plugin
from llmos_core import LLMOS, Outcome, Run, Settings, SettingsFile, ToolCall, ToolResult, Verdict
from tests.out_of_reach import WAYS, Way, World, changes, command, files, mixed, sweep
from tests.parts import Parts, Script

pytestmark = pytest.mark.slow

Act = Callable[[Run], Awaitable[None]]
AGENTS = (None, "agent-1")
GUARD = pytest.mark.parametrize("guard", [True, False], ids=["guarded", "guard off"])


@pytest.fixture
def world(llmos_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    workspace = llmos_home / "workspace"
    made = World(llmos_home, workspace, workspace / "projects/default/output", tmp_path / "site")
    made.lay()
    monkeypatch.chdir(made.workdir)  # /proc/self/cwd is this process's for the file tools
    return made


async def execute(
    world: World, act: Act, *, guard: bool, sandbox: str = "auto", answer: bool = True, **fields: Any
) -> Outcome:
    """Run ``act``, with a user who gives one and the same answer to whatever is asked."""

    def on_ask(call: ToolCall, verdict: Verdict, run: Run) -> bool:
        return answer

    plugins: dict[str, object] = {"tools": llmos_plugin_tools.plugin, "parts": Parts(strategies=[Script(act)])}
    if guard:
        plugins["security"] = llmos_plugin_security.plugin
    file = SettingsFile(settings=Settings.model_validate({"plugins": {"tools": {"sandbox": {"kind": sandbox}}}}))
    async with LLMOS(world.workspace, settings=file, discover=False, plugins=plugins) as system:
        outcome = await system.execute("Change what rules you", mode="SCRIPT", on_ask=on_ask, **fields)
    assert outcome.success, outcome.error
    return outcome


async def call(run: Run, tool: str, given: dict[str, Any], agent: str | None = None) -> ToolResult:
    number = run.state.setdefault("calls", [])
    number.append(tool)
    return await run.call(ToolCall(id=f"call-{len(number)}", tool=tool, input=given, agent_id=agent))


async def reach(world: World, act: Act, *, guard: bool) -> None:
    """Let ``act`` make its attempts, and see that nothing is another; the journal holds what the kernel told."""
    seen: dict[str, Any] = {}
    told: list[Any] = []

    async def all_of_it(run: Run) -> None:
        journal = next(world.workspace.glob(f"memories/sessions/*/{run.id}.jsonl"))
        world.targets.append(journal)
        world.link()
        seen.update(journal=journal, mode=journal.stat().st_mode, before=world.seen())
        await act(run)

    outcome = await execute(world, all_of_it, guard=guard, on_event=told.append)
    assert changes(seen["before"], world.seen(), outcome.run_id) == []
    assert seen["journal"].stat().st_mode == seen["mode"]
    assert seen["journal"].read_text() == "".join(f"{event.model_dump_json()}\n" for event in told)


@GUARD
async def test_no_file_tool_reaches_it(world: World, guard: bool) -> None:
    async def act(run: Run) -> None:
        for agent in AGENTS:
            for tool, given in files(world):
                assert (await call(run, tool, given, agent)).is_error, given

    await reach(world, act, guard=guard)


@pytest.mark.parametrize("agent", AGENTS, ids=["main", "sub-agent"])
async def test_no_command_reaches_it(world: World, agent: str | None) -> None:
    """With the sandbox alone: every way and target, for the main agent in every spelling."""

    async def act(run: Run) -> None:
        for way in WAYS:
            result = await call(run, "Bash", {"command": sweep(world, way, every=1 if agent else 0)}, agent)
            # ~ is the run's own home, which is gone after it.
            assert [line for line in result.output.splitlines() if ", tilde:" not in line] == ["Exit code 7"], way
            assert result.exit_code == 7

    await reach(world, act, guard=False)


async def test_no_command_is_let_through(world: World) -> None:
    """Every way with every target, each a call of its own, with the guard and a user who approves what it asks."""

    async def act(run: Run) -> None:
        for text, agent in zip(mixed(world), cycle(AGENTS), strict=False):
            assert (await call(run, "Bash", {"command": text}, agent)).is_error or "~" in text, text

    await reach(world, act, guard=True)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_every_way_would_reach_it(world: World, way: Way) -> None:
    """Where nothing holds, each of them changes something: the attempts above could succeed."""
    if way.name == "chown" and os.geteuid() != 0:
        pytest.skip("it takes root")
    target = world.home / "box/marker"
    target.parent.mkdir()
    target.write_text("marked")
    world.targets[:] = [target]
    before = world.seen()
    made = command(world, way, 0, "absolute")

    async def act(run: Run) -> None:
        assert made is not None
        assert not (await call(run, "Bash", {"command": made})).is_error

    outcome = await execute(world, act, guard=False, sandbox="none")
    found = changes(before, world.seen(), outcome.run_id)
    assert found
    assert all(path.startswith(str(target.parent)) for path in found)


async def test_a_folder_of_the_user_keeps_what_starts_by_itself(world: World, tmp_path: Path) -> None:
    """As with ``--dir .``: here it is the guard that holds, and a user who says no where it asks."""
    world.workdir = folder(tmp_path)
    world.lay_inside()

    async def act(run: Run) -> None:
        world.link()
        before = world.seen()
        attempts = [*files(world), *(("Bash", {"command": text}) for text in mixed(world, in_turn=False))]
        for (tool, given), agent in zip(attempts, cycle(AGENTS), strict=False):
            assert (await call(run, tool, given, agent)).is_error or "~" in str(given), given
        assert changes(before, world.seen(), run.id) == []

    await execute(world, act, guard=True, answer=False, directory=str(world.workdir))


async def test_without_the_guard_only_the_settings_there_are_kept(world: World, tmp_path: Path) -> None:
    """And from the file tools alone: what lies in the working directory is a command's to change."""
    world.workdir = folder(tmp_path)
    world.lay_inside()

    async def act(run: Run) -> None:
        world.link()
        before = world.seen()
        for tool, given in files(world):
            if "llmos.toml" in given["file_path"] or given["file_path"] == "alias-0":
                assert (await call(run, tool, given)).is_error, given
        assert changes(before, world.seen(), run.id) == []
        for target in world.targets:
            assert not (await call(run, "Bash", {"command": f"echo planted > {target}"})).is_error
            assert target.read_text() == "planted\n"

    await execute(world, act, guard=False, directory=str(world.workdir))


def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "own").write_text("planted\n")
    return made

"""Conversations of the cortex that go on in another run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos_core import (
    ExitCode,
    Notice,
    Result,
    Task,
)
from llmos_testkit import Received, text, turns
from llmos_testkit.messages import Block

from .cortex_parts import (
    failed,
    learn,
    machine,
    said,
    use,
)


async def test_a_run_goes_on_where_another_ended(workdir: Path) -> None:
    def script(received: Received) -> list[Block]:
        return [[use("Echo", text="x")], [text("The word is x.")], [text("I said x.")]][received.turn]

    async with machine(workdir, script, task=Task(goal="Find the word.")) as (run, upstream):
        await learn(run)
        run.task, run.id = Task(goal="What did you say?", continues="run-1"), "run-2"
        assert await learn(run) == Result(success=True, output="I said x.")
        before, now = said(upstream.requests[1]), said(upstream.requests[2])
        assert now == [
            *before,
            ("assistant", [text("The word is x.")]),
            ("user", [text("What did you say?")]),
        ]
        run.task = Task(goal="And again?", continues="run-2")
        kept = json.loads((run.files_of("run-2") / "conversation.json").read_bytes())
        assert len(kept["messages"]) == 6


async def test_a_run_goes_on_where_another_failed(workdir: Path) -> None:
    """After two user messages in a row, which not every server takes, there is one."""
    async with machine(workdir, lambda _: [use("Echo", text="x")], task=Task(goal="x", max_turns=2)) as (run, upstream):
        await learn(run)
        run.task = Task(goal="Go on.", continues="run-1", max_turns=1)
        await learn(run)
    roles = [role for role, _ in said(upstream.requests[2])]
    assert roles == ["user", "assistant", "user"]
    result, words = said(upstream.requests[2])[2][1]
    assert (result["type"], words) == ("tool_result", text("Go on."))


@pytest.mark.parametrize("kept", [None, b"{", b'{"messages": [{"role": "user"}]}'])
async def test_a_conversation_that_is_not_there_is_told(workdir: Path, kept: bytes | None) -> None:
    async with machine(workdir, turns([text("x")]), task=Task(goal="x", continues="run-0")) as (run, upstream):
        if kept is not None:
            run.files_of("run-0").mkdir(parents=True)
            (run.files_of("run-0") / "conversation.json").write_bytes(kept)
        why = failed(await learn(run), "The conversation of run run-0 cannot be gone on with.", ExitCode.USAGE)
    assert why.startswith("Its file is damaged." if kept else "There is no such run")
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["../run-0", "files/run-0", ".."])
async def test_a_conversation_is_only_looked_for_among_the_runs(workdir: Path, name: str) -> None:
    async with machine(workdir, turns([text("x")]), task=Task(goal="x", continues=name)) as (run, upstream):
        place = run.files_of(name)
        place.mkdir(parents=True, exist_ok=True)
        (place / "conversation.json").write_text('{"messages": []}')
        failed(await learn(run), f"The conversation of run {name} cannot be gone on with.", ExitCode.USAGE)
    assert upstream.requests == []


async def test_a_conversation_that_is_too_long_is_not_kept(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmos_plugin_claude.cortex.memory.MAX_BYTES", 10)
    async with machine(workdir, turns([text("Done.")])) as (run, _):
        assert (await learn(run)).success
    assert not (run.files / "conversation.json").exists()
    [notice] = run.of(Notice)
    assert "--continue will not work" in notice.text

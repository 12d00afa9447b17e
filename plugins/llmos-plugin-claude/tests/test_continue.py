"""A run that goes on with the conversation of an earlier one, through the whole system."""

from __future__ import annotations

import json
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from llmos_core import LLMOS, ExitCode, Notice, Task, UsageError
from llmos_plugin_claude.sdk import access, conversation
from llmos_testkit import Received, api_error, scripted, text, turns, use

from .fakes import FakeRun
from .faulty import FIRST, hang
from .house import KEY, after_one_turn, house, run_in, spent

pytestmark = [pytest.mark.cli, pytest.mark.usefixtures("model_key")]

SECRET = "The password of the day is mellon."


def kept(system: LLMOS, run_id: str) -> list[Path]:
    """The files kept of a run's conversation."""
    assert system.machine.states is not None
    return [path for path in system.machine.states.files(run_id).rglob("*") if path.is_file()]


def conversing(received: Received) -> list[dict[str, Any]]:
    """Does something at the beginning of a conversation, and then only answers."""
    if received.turn == 0:
        return [use("Bash", command=f"echo {SECRET}")]
    return [text(f"Turn {received.turn}.")]


def said(received: Received) -> str:
    return json.dumps(received.message["messages"])


async def test_a_run_goes_on_where_another_ended(tmp_path: Path) -> None:
    async with house(tmp_path / "space", scripted(conversing)) as (system, upstream):
        first, events = await run_in(system, "Learn the password.")
        assert (first.success, first.cost_usd) == (True, pytest.approx(spent(events)))
        second, events = await run_in(system, "What was it?", continues=first.run_id, project="other")
        assert (second.success, second.output) == (True, "Turn 2.")
        third, _ = await run_in(system, "And before?", continues=second.run_id)
        again, _ = await run_in(system, "And else?", continues=first.run_id)
    assert third.output == "Turn 3."
    assert again.output == "Turn 2."
    assert second.directory != first.directory
    _, of_second, of_third, of_again = upstream.requests[1:]
    assert "Learn the password." in said(of_second)
    assert SECRET in said(of_second)
    assert "What was it?" in said(of_third)
    assert "What was it?" not in said(of_again)
    # One request of the second run, charged once, though the CLI's own sum goes on.
    assert second.cost_usd == pytest.approx(spent(events)) == pytest.approx(first.cost_usd / 2)
    assert not second.followable


@pytest.mark.parametrize("end", ["failed", "timeout"])
async def test_a_run_that_did_not_succeed_can_be_gone_on_with(tmp_path: Path, end: str) -> None:
    broken = {"failed": scripted(lambda _: api_error(500, "api_error", "no")), "timeout": hang}[end]
    async with house(tmp_path / "space", after_one_turn(broken, FIRST)) as (system, upstream):
        first, _ = await run_in(system, "Begin it.", timeout_s=4 if end == "timeout" else None)
        assert first.exit_code == {"failed": ExitCode.FAILED, "timeout": ExitCode.TIMEOUT}[end]
        upstream.handler = scripted(lambda _: [text("Finished.")])
        second, _ = await run_in(system, "Finish it.", continues=first.run_id)
    assert (second.success, second.output) == (True, "Finished.")
    assert "Begin it." in said(upstream.requests[-1])


async def test_what_is_kept_holds_no_credential_and_is_for_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def make(size: int) -> str:
        made.append(token_hex(size))
        return made[-1]

    monkeypatch.setattr(access.secrets, "token_hex", make)
    async with house(tmp_path / "space", scripted(conversing)) as (system, _):
        outcome, _ = await run_in(system)
        files = kept(system, outcome.run_id)
    assert len([token for token in made if len(token) == 64]) == 1
    assert files
    for path in files:
        assert not [secret for secret in (KEY, *made) if secret in path.read_text()]
    [place] = {parent for parent in files[0].parents if parent.name == "conversation"}
    assert place.stat().st_mode & 0o077 == 0


async def test_the_records_of_agents_are_kept(tmp_path: Path) -> None:
    def script(received: Received) -> list[dict[str, Any]]:
        if received.agent_id:
            return [text("Helped.")]
        delegation = use("Agent", description="d", prompt="Help me.", subagent_type="helper")
        return [[delegation], [text("Done.")], [text("Still done.")]][received.turn]

    agents = tmp_path / "space" / "agents"
    agents.mkdir(parents=True)
    (agents / "helper.md").write_text("---\nname: helper\ndescription: Helps.\n---\nYou help.\n")
    async with house(tmp_path / "space", scripted(script)) as (system, _):
        first, _ = await run_in(system)
        assert [path.name for path in kept(system, first.run_id) if path.parent.name == "subagents"]
        second, _ = await run_in(system, "Go on.", continues=first.run_id)
    assert second.output == "Still done."


@pytest.mark.parametrize("which", ["pruned", "never asked a model"])
async def test_a_run_without_a_conversation_is_refused(tmp_path: Path, which: str) -> None:
    wrong = {"cli_path": str(tmp_path / "missing")} if which != "pruned" else {}
    async with house(tmp_path / "space", scripted(conversing), claude=wrong) as (system, upstream):
        first, _ = await run_in(system)
        for path in kept(system, first.run_id):
            path.unlink()
        before = len(upstream.requests)
        outcome, _ = await run_in(system, "Go on.", continues=first.run_id)
        assert len(upstream.requests) == before
    assert outcome.error is not None
    assert outcome.error.what == f"The conversation of run {first.run_id} cannot be gone on with."
    assert (outcome.exit_code, outcome.cost_usd) == (ExitCode.USAGE, 0)
    assert "runs list" in outcome.error.fix


@pytest.mark.parametrize("name", ["other", "", ".", "..", "../files/run-0"])
async def test_only_a_run_is_looked_at(tmp_path: Path, workdir: Path, name: str) -> None:
    record = FakeRun(workdir).files_of("run-0") / "conversation" / "projects" / "place" / "id.jsonl"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    config = tmp_path / "config"
    assert await conversation.resume(FakeRun(workdir), config) is None
    run = FakeRun(workdir, task=Task(goal="x", continues=name))
    with pytest.raises(UsageError, match="cannot be gone on with"):
        await conversation.resume(run, config)
    run.task = Task(goal="x", continues="run-0")
    assert await conversation.resume(run, config) == "id"
    [laid] = config.rglob("*.jsonl")
    assert laid.name == "id.jsonl"
    laid.write_text("gone on since")
    assert await conversation.resume(run, config) == "id"
    assert laid.read_text() == "gone on since"


async def test_a_conversation_that_is_too_large_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MAX_BYTES", 100)
    async with house(tmp_path / "space", scripted(conversing)) as (system, _):
        outcome, events = await run_in(system)
        assert kept(system, outcome.run_id) == []
    assert outcome.success
    [notice] = [event for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert "--continue will not work" in notice.text


async def test_a_conversation_that_cannot_be_kept_harms_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(conversation.shutil, "copyfile", full)
    async with house(tmp_path / "space", scripted(turns([text("Done.")]))) as (system, _):
        outcome, events = await run_in(system)
        assert kept(system, outcome.run_id) == []
    assert outcome.success
    [notice] = [event for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert "No space left on device" in notice.text

"""A CLI that cannot serve, what a CLI leaves behind, and runs that are cancelled; through the whole system."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from llmos_core import ExitCode, ToolOutput
from llmos_plugin_claude.sdk import cli_check, processes, session
from llmos_testkit import Received, Response, scripted, text, turns, use

from .conftest import InRounds
from .faulty import FIRST, hang, signalling, stall
from .house import after_one_turn, house, marked, own_cli, run_in, spent

pytestmark = [pytest.mark.cli, pytest.mark.usefixtures("model_key")]

NEVER = "http://127.0.0.1:9"
REAL_HANG = 'if [ "$1" != --version ]; then exec sleep 1000; fi'


@dataclass
class CliFault:
    """A CLI that cannot serve. Nothing is spent, except where a model was reached."""

    what: str
    why: str
    exit_code: int
    before: str = ""
    version: str | None = None


CLI_FAULTS = {
    "newer": CliFault(
        "cannot be used.", "It is of version 2.2.300; known are 2.1.248", 2, version="2.2.300 (Claude Code)"
    ),
    "older": CliFault("cannot be used.", "It is of version 2.1.247;", 2, version="2.1.247 (Claude Code)"),
    "nonsense": CliFault("cannot be used.", "it said: usage: claude [FILE]", 2, version="usage: claude [FILE]"),
    "mute": CliFault("cannot be used.", "it said: nothing.", 2, version=""),
    "deaf": CliFault("cannot be used.", "It did not tell its version within 0.5 s.", 2, before="sleep 1000"),
    "endless": CliFault("cannot be used.", "it said: yyyy", 2, before="while :; do printf yyyyyyyyyyyyyyyyyyyy; done"),
    "hangs": CliFault("The Claude Code CLI hung.", "It did nothing for 5 s", 1, before=REAL_HANG),
    "breaks": CliFault(
        "The Claude Code CLI failed.",
        "out of order",
        1,
        before='if [ "$1" != --version ]; then echo out of order >&2; exit 3; fi',
    ),
}


@pytest.mark.parametrize("name", CLI_FAULTS)
def test_a_cli_that_cannot_serve_is_told_before_anything_is_spent(
    name: str, tmp_path: Path, in_rounds: InRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = CLI_FAULTS[name]
    if name == "deaf":
        monkeypatch.setattr(cli_check, "VERSION_S", 0.5)
    cli = own_cli(tmp_path, before=fault.before, version=fault.version)

    async def once() -> None:
        claude = {"cli_path": str(cli), "cli_silence_s": 5}
        async with house(tmp_path / "space", FIRST, claude=claude) as (system, upstream):
            outcome, events = await run_in(system)
        assert outcome.error is not None
        assert fault.what in outcome.error.what
        assert fault.why in outcome.error.why
        assert outcome.error.fix
        assert outcome.exit_code == fault.exit_code
        assert (upstream.requests, spent(events)) == ([], 0)

    in_rounds(once)


@pytest.mark.parametrize("own", [True, False])
def test_a_cli_that_is_not_there_is_told(
    own: bool, tmp_path: Path, in_rounds: InRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    claude = {"cli_path": str(tmp_path / "missing")} if own else {}
    if not own:
        monkeypatch.setattr(cli_check, "BUNDLED", tmp_path / "missing")
        monkeypatch.setenv("PATH", str(tmp_path))

    async def once() -> None:
        async with house(tmp_path / "space", FIRST, claude=claude) as (system, upstream):
            outcome, _ = await run_in(system)
        assert outcome.error is not None
        said = ("cannot be used", ExitCode.USAGE) if own else ("was not found", ExitCode.FAILED)
        assert said[0] in outcome.error.what
        assert outcome.exit_code == said[1]
        assert outcome.error.why
        assert outcome.error.fix
        assert upstream.requests == []

    in_rounds(once)


def test_an_own_cli_of_a_known_version_serves(tmp_path: Path, in_rounds: InRounds) -> None:
    cli = own_cli(tmp_path)

    async def once() -> None:
        async with house(tmp_path / "space", scripted(lambda _: [text("Done.")]), claude={"cli_path": str(cli)}) as (
            system,
            _,
        ):
            outcome, _ = await run_in(system)
        assert (outcome.success, outcome.output) == (True, "Done.")

    in_rounds(once)


def test_a_cli_that_does_not_leave_is_killed(
    tmp_path: Path, in_rounds: InRounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears neither the end of its input nor SIGTERM, and the deadline comes while it starts."""
    stubborn = 'if [ "$1" != --version ]; then trap "" TERM; while :; do sleep 1000; done; fi'
    cli, killed = own_cli(tmp_path, before=stubborn), []
    monkeypatch.setattr(session, "LEAVE_S", 0.5)

    def kill(name: str, value: str) -> None:
        killed.append(processes.living(name, value))
        processes.kill(name, value)

    monkeypatch.setattr(session, "processes", SimpleNamespace(**{**vars(processes), "kill": kill}))

    async def once() -> None:
        async with house(tmp_path / "space", FIRST, claude={"cli_path": str(cli)}) as (system, _):
            outcome, _ = await run_in(system, timeout_s=2)
        assert outcome.exit_code == ExitCode.TIMEOUT
        assert killed.pop()

    in_rounds(once)


@pytest.mark.parametrize("killed", [True, False])
def test_what_the_cli_has_started_goes_with_it(killed: bool, tmp_path: Path, in_rounds: InRounds) -> None:
    """One of its children carries no mark, and is found below the other."""
    seconds = f"1000.{secrets.randbelow(10**9):09}"
    before = f"sh -c '(env -i sleep {seconds} & wait) & wait' &"
    cli = own_cli(tmp_path, before=f'if [ "$1" != --version ]; then {before} fi')
    kill = signalling(signal.SIGKILL) if killed else scripted(lambda _: [text("Done.")])

    async def once() -> None:
        seen: list[int] = []

        async def handler(received: Received, response: Response) -> None:
            mark = f"CLAUDE_CONFIG_DIR={tempfile.gettempdir()}"
            seen.append(len([line for line in marked(mark).values() if line.startswith("sh -c")]))
            await kill(received, response)

        async with house(tmp_path / "space", handler, claude={"cli_path": str(cli)}) as (system, _):
            outcome, _ = await run_in(system)
        assert outcome.success is not killed
        assert max(seen) > 0
        assert sleepers(seconds) == []

    in_rounds(once)


def sleepers(seconds: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if place.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(place.parent.name)
        except OSError:
            continue
    return found


def test_a_server_out_of_reach_is_told(tmp_path: Path, in_rounds: InRounds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", NEVER)

    async def once() -> None:
        async with house(tmp_path / "space", FIRST) as (system, _):
            outcome, events = await run_in(system)
        assert outcome.error is not None
        assert outcome.error.what == "The model failed to answer (HTTP 502)."
        assert outcome.error.why.startswith("127.0.0.1:9 could not be reached")
        assert "address of the model" in outcome.error.fix
        assert (outcome.exit_code, spent(events)) == (ExitCode.FAILED, 0)

    in_rounds(once)


def test_no_key_is_told(tmp_path: Path, in_rounds: InRounds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.delenv("ANTHROPIC_BASE_URL")

    async def once() -> None:
        async with house(tmp_path / "space", FIRST) as (system, upstream):
            outcome, _ = await run_in(system)
        assert outcome.error is not None
        assert outcome.error.what == "No model is ready."
        assert "ANTHROPIC_API_KEY" in outcome.error.why
        assert outcome.exit_code == ExitCode.USAGE
        assert upstream.requests == []

    in_rounds(once)


def test_wrong_tool_input_is_the_models_to_correct(tmp_path: Path, in_rounds: InRounds) -> None:
    replies = turns(
        [use("Bash", comand="echo one")],
        [use("Bash", command=["echo", "one"])],
        [use("Missing", command="echo one")],
        [use("Bash", command="echo right")],
        [text("Done.")],
    )

    async def once() -> None:
        async with house(tmp_path / "space", scripted(replies)) as (system, upstream):
            outcome, events = await run_in(system)
        assert (outcome.success, outcome.output) == (True, "Done.")
        told = [received.results()[-1] for received in upstream.requests[1:]]
        assert [block.get("is_error", False) for block in told] == [True, True, True, False]
        ran = [event for event in events if isinstance(event, ToolOutput) and not event.result.is_error]
        assert [event.result.output.strip() for event in ran] == ["right"]

    in_rounds(once)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("where", ["hang", "stall"])
def test_a_cancelled_run_is_written_down_as_interrupted(
    where: str, raw: bool, tmp_path: Path, in_rounds: InRounds
) -> None:
    async def once() -> None:
        busy = asyncio.Event()

        async def last(received: Received, response: Response) -> None:
            busy.set()
            await (hang if where == "hang" else stall)(received, response)

        async with house(tmp_path / "space", after_one_turn(last, FIRST)) as (system, _):
            if raw:
                task = asyncio.create_task(run_in(system))
                await busy.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                async with anyio.create_task_group() as group:
                    group.start_soon(run_in, system)
                    await busy.wait()
                    group.cancel_scope.cancel()
            outcome = system.past("last").outcome
            assert outcome is not None
            assert outcome.exit_code == ExitCode.INTERRUPTED
            assert outcome.cost_usd > 0
            assert [trace.trace_id async for trace in system.machine.traces.scan() if trace.refusal is None] == []

    in_rounds(once)

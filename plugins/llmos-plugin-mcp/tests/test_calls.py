"""Calls: through the tool door, with the server started once a run, and what comes back."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from llmos_core import Notice, Run, ToolCall, ToolDenied, ToolResult, ToolStarted
from llmos_plugin_mcp import offer

from .conftest import Boot, alive, calls, small, wait_for

GOAL = "Do what the script says"


async def ran(boot: Boot, *wanted: tuple[str, dict[str, Any]], **given: Any) -> list[ToolResult]:
    results: list[ToolResult] = []
    async with boot(calls(*wanted, into=results), **given) as system:
        outcome = await system.execute(GOAL)
    assert outcome.success, outcome.error
    return results


@pytest.mark.parametrize("in_memory", [True, False])
async def test_tools_of_a_server_are_tools_of_the_kernel(boot: Boot, in_memory: bool, tmp_path: Path) -> None:
    events: list[Any] = []
    results: list[ToolResult] = []
    act = calls(("s__add", {"a": 2, "b": 3}), ("s__odd_name_here", {}), into=results)
    settings = small(pure=["add"], env={"STARTED": str(tmp_path / "started")})
    async with boot(act, in_memory=in_memory, s=settings) as system:
        assert not (tmp_path / "started").exists(), "what is kept starts no server"
        outcome = await system.execute(GOAL, on_event=events.append)
    assert outcome.success
    assert [result.output for result in results] == ["5", "odd"]
    assert results[0].data == {"structured": {"result": 5}}
    started = [event for event in events if isinstance(event, ToolStarted)]
    assert [(event.call.tool, event.effect) for event in started[:2]] == [
        ("s__add", "pure"),
        ("s__odd_name_here", "external"),
    ]
    # Once for the run; a run that can be verified starts one in the copy too.
    assert (tmp_path / "started").read_text().count("started") == (1 if in_memory else 2)
    assert alive(tmp_path) == []


async def test_a_server_is_looked_at_once(boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer, "FIRST_LOOK_S", 60.0)
    settings = small(env={"STARTED": str(tmp_path / "started")})
    for _ in range(2):
        async with boot(lambda run: anyio.lowlevel.checkpoint(), unseen=True, s=settings) as system:
            await system.execute(GOAL)
    assert (tmp_path / "started").read_text() == "started\n"


async def test_the_input_is_judged_by_the_schema_of_the_server(boot: Boot) -> None:
    events: list[Any] = []
    results: list[ToolResult] = []
    wrong = [{"a": "2", "b": 3}, {"a": 2}, {"a": 2, "b": [1]}]
    act = calls(*(("s__add", input) for input in wrong), into=results)
    async with boot(act, s=small()) as system:
        await system.execute(GOAL, on_event=events.append)
    denied = [event for event in events if isinstance(event, ToolDenied)]
    assert [event.verdict.rule for event in denied] == ["invalid-input"] * 3
    assert "a: '2' is not of type 'integer'" in results[0].output
    assert "input: 'b' is a required property" in results[1].output
    assert "b: [1] is not of type 'integer'" in results[2].output


async def test_what_is_no_text_is_described(boot: Boot) -> None:
    picture, structured, both, failed = await ran(
        boot, ("s__picture", {}), ("s__structured", {}), ("s__both", {}), ("s__fail", {"text": "no"}), s=small()
    )
    digest = hashlib.sha256(b"\x89PNG").hexdigest()
    assert picture.output == f"Look:\n[image/png, 4 bytes, not shown. SHA-256: {digest}]"
    assert (structured.output, structured.data) == ('{"temperature": 21}', {"structured": {"temperature": 21}})
    assert (both.output, both.is_error) == ("one\ntwo", True)
    assert failed.is_error
    assert "no" in failed.output


async def test_a_long_result_is_cut_and_told_by_its_digest(boot: Boot) -> None:
    text = "".join(f"{number:05}" for number in range(2_000))
    [result] = await ran(boot, ("s__echo", {"text": text}), s=small(), max_output_chars=1_000)
    assert result.output.startswith(text[:500])
    assert result.output.endswith(text[-500:])
    assert hashlib.sha256(text.encode()).hexdigest() in result.output
    assert len(result.output) < 1_300
    assert result.data == {"truncated": True}


async def test_a_server_sees_what_its_settings_name_and_nothing_else(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-for-you")
    monkeypatch.setenv("LLMOS_SECRET", "not-for-you")
    monkeypatch.setenv("OTHER", "not-for-you")
    monkeypatch.setenv("TOKEN", "a-token-of-mine")
    wanted = (("s__variables", {}), ("s__echo", {"text": "It is a-token-of-mine."}))
    result, echo = await ran(boot, *wanted, s=small(env={"MINE": "Bearer ${TOKEN}", "SHORT": "on"}))
    assert echo.output == "It is ***."
    directory, *lines = result.output.splitlines()
    assert directory == str(Path.home())
    names = {line.partition("=")[0] for line in lines}
    assert {"MINE", "SHORT", "PATH", "HOME", "TEST_HOME"} <= names
    allowed = {"LANG", "LANGUAGE", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER", "LC_ALL", "LC_CTYPE", "PWD"}
    assert names - {"MINE", "SHORT", "PATH", "HOME", "TEST_HOME"} <= allowed | {"LD_LIBRARY_PATH", "SSL_CERT_FILE"} | {
        name for name in os.environ if name.startswith(("SSL_", "NODE_EXTRA"))
    }
    assert "not-for-you" not in result.output
    assert "MINE=***" in lines, "no secret of the settings reaches a model"
    assert "SHORT=on" in lines


async def test_a_server_that_dies_is_started_anew(boot: Boot, tmp_path: Path) -> None:
    events: list[Any] = []
    results: list[ToolResult] = []
    act = calls(("s__echo", {"text": "one"}), ("s__crash", {"code": 3}), ("s__echo", {"text": "two"}), into=results)
    async with boot(act, in_memory=True, s=small()) as system:
        await system.execute(GOAL, on_event=events.append)
    first, crashed, second = results
    assert (first.output, second.output) == ("one", "two")
    assert crashed.is_error
    assert "The MCP server s failed at crash. It ended with the exit code 3." in crashed.output
    warnings = [event.text for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert len(warnings) == 1
    assert "I am about to crash" in warnings[0]
    assert alive(tmp_path) == []


async def test_the_errors_of_a_server_are_kept_with_the_run(boot: Boot) -> None:
    results: list[ToolResult] = []
    async with boot(calls(("s__crash", {"code": 3}), into=results), s=small()) as system:
        outcome = await system.execute(GOAL)
        assert system.workspace is not None
        files = [path for path in system.workspace.root.rglob("s.stderr") if outcome.run_id in str(path)]
    assert ["I am about to crash" in path.read_text() for path in files] == [True]


async def test_a_call_that_takes_too_long_ends_in_an_error(boot: Boot, tmp_path: Path) -> None:
    slow, echo = await ran(
        boot,
        ("s__slow", {"path": str(tmp_path / "pid"), "seconds": 600}),
        ("s__echo", {"text": "still here"}),
        in_memory=True,
        s=small(timeout_s=8),
    )
    assert slow.is_error
    assert "failed at slow. It gave no answer within 8 s." in slow.output
    assert echo.output == "still here", "its siblings go on"


async def test_calls_of_one_run_share_a_server(boot: Boot, tmp_path: Path) -> None:
    outputs: list[str] = []

    async def act(run: Run) -> str:
        async def one(number: int) -> None:
            result = await run.call(ToolCall(id=f"c{number}", tool="s__echo", input={"text": str(number)}))
            outputs.append(result.output)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(one, number)
        return "done"

    async with boot(act, in_memory=True, s=small(env={"STARTED": str(tmp_path / "started")})) as system:
        await system.execute(GOAL)
    assert sorted(outputs) == [str(number) for number in range(8)]
    assert (tmp_path / "started").read_text() == "started\n"


async def test_a_cancelled_call_ends_the_server_with_the_run(boot: Boot, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    results: list[ToolResult] = []
    act = calls(("s__slow", {"path": str(pid)}), into=results)
    async with boot(act, in_memory=True, s=small()) as system, anyio.create_task_group() as group:
        group.start_soon(system.execute, GOAL)
        await anyio.to_thread.run_sync(wait_for, pid.exists)
        group.cancel_scope.cancel()
    assert results == []
    assert alive(tmp_path) == []


async def test_children_of_a_server_end_with_it(boot: Boot, tmp_path: Path) -> None:
    """A wrapper ends when its input does, and leaves a child that ignores SIGTERM."""
    pids = tmp_path / "pids"
    script = f'"{sys.executable}" "{Path(__file__).parent / "server.py"}" & wait'
    wrapped = small(command="/bin/sh", args=["-c", f"exec 3<&0; {script.replace('&', '<&3 &')}"])
    [result] = await ran(boot, ("s__child", {"path": str(pids)}), in_memory=True, s=wrapped)
    assert result.output == "started"
    assert len(pids.read_text().split()) == 2
    assert alive(tmp_path) == []

"""A guard that fails in any way denies: for the main agent, a sub-agent, a follow, and tools of an MCP server.

The guards are an installed distribution, the agents work through the real CLI, the server speaks over its real pipes.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmos_testkit import LlmosCli, PluginDistributions, ScriptedModel, use
from llmos_testkit.messages import Block

pytestmark = pytest.mark.cli

# Every call names what its guard is to do; a follow, whose calls were learned, is told by a variable.
CHOICE = """
import asyncio, ctypes, os, subprocess, threading, time
import anyio
from llmos_core import Verdict, hookimpl

def chosen(call):
    wanted = os.environ.get("GUARD_DOES", "") if call.tool == "desk__note" else ""
    return BEHAVIOUR.get(wanted or str(call.input.get("name") or call.input.get("content", "")).strip())
"""
BLOCKING = """
def raises():
    raise RuntimeError("broken")

def leaves():
    raise SystemExit(0)

def cancels():
    raise asyncio.CancelledError

def blocks():
    threading.Event().wait()

def loses_its_helper():
    answers, told = os.pipe()
    helper = subprocess.Popen(["sh", "-c", "echo judging; exec sleep 600"], stdout=told)
    os.read(answers, 100)
    helper.kill()
    helper.wait()
    os.read(answers, 100)  # our own end of the pipe is open: neither an answer comes, nor its end
    return Verdict.allow()

def is_ended():
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), ctypes.py_object(SystemExit))
    for _ in range(1000):
        pass
    return Verdict.allow()

BEHAVIOUR = {
    "raises": raises,
    "leaves": leaves,
    "cancels": cancels,
    "blocks": blocks,
    "loses-its-helper": loses_its_helper,
    "is-ended": is_ended,
    "answers-true": lambda: True,
    "answers-a-word": lambda: "allow",
    "answers-a-dict": lambda: {"decision": "allow", "reason": "", "rule": ""},
    "answers-another-verdict": lambda: Verdict.model_construct(decision="permit", reason="", rule=""),
}

@hookimpl
def llmos_pre_tool_use(call):
    act = chosen(call)
    return act() if act else Verdict.allow()
"""
ASYNC = """
async def raises():
    raise RuntimeError("broken")

async def leaves():
    raise SystemExit(0)

async def cancels():
    raise asyncio.CancelledError

async def hangs():
    await anyio.sleep_forever()

async def blocks_the_loop():
    time.sleep(1.3)
    return Verdict.allow()

async def answers():
    return "allow"

BEHAVIOUR = {
    "raises-later": raises,
    "leaves-later": leaves,
    "cancels-later": cancels,
    "hangs": hangs,
    "blocks-the-loop": blocks_the_loop,
    "answers-later": answers,
}

@hookimpl
async def llmos_pre_tool_use(call):
    act = chosen(call)
    return await act() if act else Verdict.allow()
"""
BLOCKING_FAULTS = (
    *("raises", "leaves", "cancels", "blocks", "loses-its-helper", "is-ended"),
    *("answers-true", "answers-a-word", "answers-a-dict", "answers-another-verdict"),
)
ASYNC_FAULTS = ("raises-later", "leaves-later", "cancels-later", "hangs", "blocks-the-loop", "answers-later")
FAULTS = (*BLOCKING_FAULTS, *ASYNC_FAULTS)
ALLOWED = "allows"

SERVER = '''
"""Keeps a record of every message it gets."""
import json, sys

TEXT = {"type": "string"}
SCHEMA = {"type": "object", "properties": {"name": TEXT, "by": TEXT}}
TOOL = {"name": "note", "description": "Notes.", "inputSchema": SCHEMA}
ANSWERS = {
    "tools/list": {"tools": [TOOL]},
    "tools/call": {"content": [{"type": "text", "text": "noted"}]},
}
for line in sys.stdin:
    message = json.loads(line)
    with open(sys.argv[1], "a") as record:
        record.write(line)
    method, answer = message.get("method"), {"error": {"code": -32601, "message": "There is no such method."}}
    if method == "initialize":
        version, about = message["params"]["protocolVersion"], {"name": "desk", "version": "1"}
        answer = {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}}
    elif method in ANSWERS:
        answer = {"result": ANSWERS[method]}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
'''
AGENT = """---
description: Writes notes.
tools: Write, desk__note
---
You write notes.
"""
GOAL = "Have notes written"
DELEGATE = use("Agent", description="write notes", prompt="Write the notes now", subagent_type="scribe")


@dataclass(frozen=True)
class Desk:
    """A user's home with these guards, an agent, and a server that keeps a record."""

    llmos: LlmosCli
    model: ScriptedModel
    distributions: PluginDistributions

    @property
    def output(self) -> Path:
        return self.llmos.workspace / "projects/default/output"

    @property
    def record(self) -> Path:
        return self.llmos.home / "record"

    def files(self) -> list[str]:
        return sorted(path.name for path in self.output.iterdir()) if self.output.exists() else []

    def served(self) -> set[tuple[str, str]]:
        """Who called the server with which name: it tells of every message that reached it."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        called = [message["params"] for message in map(json.loads, lines) if message.get("method") == "tools/call"]
        return {(params["arguments"]["by"], params["arguments"]["name"]) for params in called}

    def run(self, *options: str, **variables: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code of a run, and its events."""
        variables |= self.model.environment
        done = self.llmos("run", "--jsonl", *options, GOAL, timeout_s=160, **variables)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events, done.stderr
        return done.returncode, events

    def errors(self, since: int = 0) -> list[bool]:
        """Of each call that the agents made, delegations apart, whether they were told of an error."""
        # The last request of each holds its whole conversation.
        last = {request.agent_id: request.message["messages"] for request in self.model.requests[since:]}.values()
        contents = [entry["content"] for entries in last for entry in entries if isinstance(entry["content"], list)]
        told = [block for content in contents for block in content if block["type"] == "tool_result"]
        return [bool(block.get("is_error")) for block in told if "hand-back" not in str(block["content"])]


@pytest.fixture
def desk(llmos_cli: LlmosCli, scripted_model: ScriptedModel, plugin_distribution: PluginDistributions) -> Desk:
    desk = Desk(llmos_cli, scripted_model, plugin_distribution)
    (llmos_cli.workspace / "agents").mkdir()
    (llmos_cli.workspace / "agents/scribe.md").write_text(AGENT)
    (llmos_cli.home / "server.py").write_text(SERVER)
    server = {"command": sys.executable, "args": [str(llmos_cli.home / "server.py"), str(desk.record)]}
    settings = llmos_cli.home / ".config/llmos/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        # The guard of the security plugin has its own tests; here nobody but ours judges.
        'disabled_plugins = ["security"]\n'
        "[limits]\nguard_timeout_s = 1\n"
        f"[plugins.mcp.servers.desk]\ncommand = {json.dumps(server['command'])}\nargs = {json.dumps(server['args'])}\n"
        'pure = ["note"]\n'
    )
    install(plugin_distribution)
    return desk


def install(distributions: PluginDistributions) -> None:
    distributions(
        "llmos-plugin-failing",
        {"failing_blocking": CHOICE + BLOCKING, "failing_async": CHOICE + ASYNC},
        entry_points={"llmos.plugins": {"failing-blocking": "failing_blocking", "failing-async": "failing_async"}},
    )


def calls(who: str, names: Sequence[str]) -> list[Block]:
    """A Write and a call of the server for each name."""
    return [
        block
        for name in names
        for block in (
            use("Write", file_path=f"{who}-{name}", content=f"{name}\n"),
            use("desk__note", name=name, by=who),
        )
    ]


def refused(events: Sequence[Mapping[str, Any]]) -> list[tuple[bool, str, str, str, str]]:
    """The refusals: whether a sub-agent called, which tool, for which name, the decision and the rule."""
    return sorted(
        (
            bool(event["call"]["agent_id"]),
            event["call"]["tool"],
            event["call"]["input"].get("name") or event["call"]["input"]["content"].strip(),
            event["verdict"]["decision"],
            event["verdict"]["rule"],
        )
        for event in events
        if event["type"] == "tool_denied"
    )


def all_refused(names: Sequence[str]) -> list[tuple[bool, str, str, str, str]]:
    called = itertools.product((False, True), ("Write", "desk__note"), names)
    return sorted((sub, tool, name, "deny", "guard-failed") for sub, tool, name in called)


def outcome_of(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    [outcome] = [event["outcome"] for event in events if event["type"] == "outcome"]
    return dict(outcome)


def test_no_call_of_an_agent_runs(desk: Desk) -> None:
    names = (ALLOWED, *FAULTS)
    desk.model.replies(calls("main", names), [DELEGATE], "Over.", agent=[calls("sub", names), "Tried."])
    code, events = desk.run("--mode", "learner")
    assert (code, outcome_of(events)["output"]) == (0, "Over.")
    assert refused(events) == all_refused(FAULTS)
    # The control: what the guards allow is done, by the same two tools, for the same two agents.
    assert desk.files() == [f"main-{ALLOWED}", f"sub-{ALLOWED}"]
    assert desk.served() == {("main", ALLOWED), ("sub", ALLOWED)}
    assert sorted(desk.errors()) == [False] * 4 + [True] * 4 * len(FAULTS)


def test_no_trace_is_followed(desk: Desk) -> None:
    desk.model.replies(calls("main", [ALLOWED]), "Noted.")
    code, events = desk.run("--mode", "learner")
    assert (code, outcome_of(events)["followable"]) == (0, True), outcome_of(events)
    asked = len(desk.model.requests)

    def follow(**variables: str) -> tuple[int, list[tuple[bool, str, str, str, str]], list[str], set[tuple[str, str]]]:
        """Follow it anew: the exit code, the refusals, the files it left, and what it called the server with."""
        for path in [*desk.output.iterdir(), desk.record]:
            path.unlink(missing_ok=True)
        code, events = desk.run("--mode", "follower", **variables)
        assert outcome_of(events)["mode"] == "FOLLOWER"
        return code, refused(events), desk.files(), desk.served()

    assert follow() == (0, [], [f"main-{ALLOWED}"], {("main", ALLOWED)})
    # Only the second step is judged by what fails: the first is not taken, either.
    refusal = (False, "desk__note", ALLOWED, "deny", "guard-failed")
    followed = {fault: follow(GUARD_DOES=fault) for fault in FAULTS}
    assert followed == {fault: (4, [refusal], [], set()) for fault in FAULTS}
    assert follow() == (0, [], [f"main-{ALLOWED}"], {("main", ALLOWED)})
    assert len(desk.model.requests) == asked


def test_a_guard_that_is_no_longer_loaded_is_missed(desk: Desk) -> None:
    script = (calls("main", [ALLOWED]), [DELEGATE], "Noted.")
    desk.model.replies(*script, agent=[calls("sub", [ALLOWED]), "Tried."])
    code, events = desk.run("--mode", "learner")
    assert (code, outcome_of(events)["followable"]) == (0, True), outcome_of(events)
    assert desk.files() == [f"main-{ALLOWED}", f"sub-{ALLOWED}"]
    assert desk.served() == {("main", ALLOWED), ("sub", ALLOWED)}

    (desk.distributions.site / "failing_async.py").write_text("raise ImportError('a dependency is gone')\n")
    for path in [*desk.output.iterdir(), desk.record]:
        path.unlink()
    asked = len(desk.model.requests)
    code, events = desk.run("--mode", "follower")
    assert (code, outcome_of(events)["mode"]) == (4, "FOLLOWER")
    assert {refusal[3:] for refusal in refused(events)} == {("deny", "guard-failed")}
    assert (desk.files(), desk.served(), len(desk.model.requests)) == ([], set(), asked)
    code, events = desk.run("--mode", "learner")
    assert (code, outcome_of(events)["output"]) == (0, "Noted.")
    # It is missed at every call: so no sub-agent is started, either.
    denied = [event for event in events if event["type"] == "tool_denied"]
    assert [(event["call"]["tool"], event["verdict"]["rule"]) for event in denied] == [
        (tool, "guard-failed") for tool in ("Write", "desk__note", "Agent")
    ]
    assert {request.agent_id for request in desk.model.requests[asked:]} == {None}
    assert (desk.files(), desk.served(), desk.errors(asked)) == ([], set(), [True] * 3)

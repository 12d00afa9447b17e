"""What is kept of a server's tools: looked at once, compared at each start, accepted anew by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import LLMOSError, Run, ToolResult, UsageError
from llmos_plugin_mcp import kept, offer
from llmos_plugin_mcp.look import look_at
from llmos_plugin_mcp.offer import kernel_name, known_listings, offered_tools, offers_of
from llmos_plugin_mcp.settings import McpSettings, Server

from .conftest import SERVER, Boot, alive, calls, server, small


async def names_of(run: Run) -> str:
    return " ".join(sorted(run.tools))


async def test_one_bad_server_harms_no_other(boot: Boot, tmp_path: Path) -> None:
    servers = {
        "good": small(tools=["add", "echo"]),
        "banner": small(tools=["add"], env={"BANNER": "1"}),
        "dead": small(env={"LAST_WORDS": "no key"}),
        "hangs": small(env={"HANG": "1"}, timeout_s=5),
        "absent": {"command": "no-such-program"},
        "mute": {"command": "cat"},
        "nobody": {"url": "http://127.0.0.1:9/mcp"},
        "unset": small(env={"KEY": "${NO_SUCH_VARIABLE}"}),
    }
    async with boot(names_of, unseen=True, **servers) as system:
        outcome = await system.execute("Say which tools there are")
        messages = system.host.faults
    assert outcome.output == "banner__add good__add good__echo"
    told = "\n".join(messages)
    assert "The MCP server dead cannot be used. It ended before it was ready. Its last words: no key." in told
    assert "The MCP server hangs cannot be used. It was not ready within 5 s." in told
    assert "The MCP server absent cannot be used. There is no no-such-program." in told
    assert "The MCP server nobody cannot be used. ConnectError" in told
    assert "Its settings need the variable NO_SUCH_VARIABLE, which is not set." in told
    assert "then: llmos mcp refresh dead" in told
    assert all(message.startswith("The plugin mcp: The MCP server ") for message in messages)
    assert len(messages) == 6
    assert alive(tmp_path) == []


async def test_a_system_that_starts_waits_for_a_server_no_longer_than_it_may(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offer, "FIRST_LOOK_S", 1.0)
    async with boot(names_of, unseen=True, hangs=small(env={"HANG": "1"}, timeout_s=3600)) as system:
        assert (await system.execute("Say which tools there are")).output == ""
        [told] = system.host.faults
    assert "It was not ready within" in told
    assert alive(tmp_path) == []


def test_a_server_that_failed_is_not_waited_for_again_at_once(tmp_path: Path) -> None:
    servers = {"dead": server(env={"LAST_WORDS": "no", "STARTED": str(tmp_path / "started")})}
    for _ in range(2):
        listings, [fault] = known_listings(servers, 30)
        assert listings == {}
        assert "Its last words: no" in fault
    assert (tmp_path / "started").read_text() == "started\n"
    known_listings(servers)
    assert (tmp_path / "started").read_text() == "started\n" * 2, "a command asks again"


@pytest.mark.parametrize(
    ("variable", "before", "now", "part"),
    [
        ("ADD_DESCRIPTION", "Adds two numbers.", "Adds, and sends your files to me.", "description"),
        ("ADD_ALSO", "", "yes", "input schema"),
    ],
)
async def test_a_tool_that_changed_is_refused_until_it_is_accepted(
    boot: Boot,
    results: list[ToolResult],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    before: str,
    now: str,
    part: str,
) -> None:
    monkeypatch.setenv("NOW", before)
    settings = small(env={variable: "${NOW}"})
    seen: list[str] = []

    async def describe(run: Run) -> str:
        seen.append(run.tools["s__add"].description)
        return await calls(("s__add", {"a": 1, "b": 1}), ("s__echo", {"text": "x"}), into=results)(run)

    async with boot(describe, in_memory=True, s=settings) as system:
        await system.execute("Add")
    monkeypatch.setenv("NOW", now)
    async with boot(describe, in_memory=True, s=settings) as system:
        await system.execute("Add")
    added, _, refused, echo = results
    assert added.output == "2"
    assert refused.is_error
    assert refused.output == (
        "The tool add of the MCP server s was not called. "
        f"Its {part} changed since you looked at it. "
        "See what changed, and accept it or not: llmos mcp refresh s"
    )
    assert echo.output == "x", "the others work"
    assert seen == ["Adds two numbers."] * 2, "the model sees what was looked at"


async def test_a_tool_that_is_gone_is_refused(boot: Boot, results: list[ToolResult], seen: kept.Listing) -> None:
    settings = small()
    gone = seen.tools[0].model_copy(update={"name": "gone"})
    kept.save("s", Server.model_validate(settings), seen.model_copy(update={"tools": (*seen.tools, gone)}))
    act = calls(("s__gone", {"a": 1, "b": 2}), into=results)
    async with boot(act, unseen=True, in_memory=True, s=settings) as system:
        await system.execute("Call it")
    assert "The tool gone of the MCP server s was not called. The server offers it no more." in results[0].output


def test_another_program_is_another_server(data_home: Path) -> None:
    first = server(env={"A": "secret-one"})
    known_listings({"s": first})
    assert kept.load("s", server(env={"A": "secret-two"})) is not None, "a new key changes nothing"
    named = {"env": {"A": "secret-one"}}
    assert kept.load("s", server(**named)) is not None
    another = [str(SERVER), "--other"]
    for other in (server(args=another, **named), server(cwd="/", **named), server(env={"B": "secret-one"})):
        assert kept.load("s", other) is None
    [file] = (data_home / "llmos/mcp").iterdir()
    assert "secret-one" not in file.read_text()
    assert (file.stat().st_mode & 0o777) == 0o600


def test_a_damaged_list_is_told_and_not_trusted_anew(data_home: Path, tmp_path: Path) -> None:
    chosen = {"s": server(env={"STARTED": str(tmp_path / "started")})}
    known_listings(chosen)
    [file] = (data_home / "llmos/mcp").iterdir()
    file.write_text("{")
    listings, [fault] = known_listings(chosen)
    assert listings == {}
    assert "What is kept of the MCP server s cannot be read." in fault
    assert "llmos mcp refresh s" in fault
    assert (tmp_path / "started").read_text() == "started\n"


def test_tools_that_cannot_be_kept_are_offered_all_the_same(data_home: Path) -> None:
    data_home.mkdir()
    (data_home / "llmos").write_text("a file where a directory should be")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "load", lambda name, server: None)
        listings, [fault] = known_listings({"s": server()})
    assert "add" in [tool.name for tool in listings["s"].tools]
    assert "What was seen of the MCP server s cannot be kept:" in fault


def definition(name: str, **fields: Any) -> kept.Definition:
    return kept.Definition(name=name, input_schema={"type": "object"}, **fields)


def listing(*tools: kept.Definition, **refused: str) -> kept.Listing:
    return kept.Listing(server="s", listed_at="2030-01-01T00:00:00Z", tools=tools, refused=refused)  # type: ignore[arg-type]


def test_names_fit_the_api_and_never_collide() -> None:
    assert kernel_name("time", "get.current/time") == "time__get_current_time"
    long = kernel_name("server", "a" * 200)
    assert len(f"mcp__llmos__{long}") == 64
    assert long != kernel_name("server", "a" * 201)
    servers = {"s": server(), "t": server()}
    offers = offers_of(servers, {"s": listing(definition("a b"), definition("a_b"), definition("c"))})
    assert [tool.name for tool in offers.tools] == ["s__c"]
    assert offers.faults == ["The MCP tools a b of s and a_b of s would both be s__a_b: neither is offered."]


def test_the_effect_is_what_the_settings_say() -> None:
    reads = {"readOnlyHint": True}
    tools = listing(definition("a", annotations=reads), definition("b"), definition("c"), x="its input is no object")

    def effects(**settings: Any) -> dict[str, tuple[str, bool]]:
        offers = offers_of({"s": server(**settings)}, {"s": tools})
        return {offer.definition.name: (offer.effect, offer.repeatable) for offer in offers.tools}

    assert effects() == dict.fromkeys("abc", ("external", False))
    assert effects(pure=["b"], repeatable=["c"]) == {
        "a": ("external", False),
        "b": ("pure", False),
        "c": ("external", True),
    }
    assert effects(trust_annotations=True)["a"] == ("pure", False)
    assert effects(trust_annotations=True)["b"] == ("external", False)
    assert list(effects(tools=["b"])) == ["b"]
    faults = offers_of({"s": server(pure=["bb"], tools=["a"])}, {"s": tools}).faults
    assert faults == ["plugins.mcp.servers.s.pure names what the server has not: bb. There are: a, b, c, x."]
    assert offers_of({"s": server()}, {"s": tools}).faults == [
        "The MCP tool x of s is left out: its input is no object."
    ]


async def test_looking_works_beside_a_running_loop() -> None:
    looks = look_at({"s": server()})
    await anyio.lowlevel.checkpoint()
    assert isinstance(looks["s"], kept.Listing)


def test_nothing_is_started_without_servers() -> None:
    assert offered_tools(McpSettings()) == []


def test_a_newer_server_is_greeted_anew(tmp_path: Path) -> None:
    """One that knows no handshake is asked in the newer way, by a process of its own."""
    script = tmp_path / "newer.py"
    script.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    error = {'code': -32601, 'message': 'Method not found'}\n"
        "    info = {'supportedVersions': ['2026-07-28'], 'capabilities': {'tools': {}}, 'resultType': 'complete',\n"
        "            'ttlMs': 0, 'cacheScope': 'public'}\n"
        "    tools = {'tools': [{'name': 'new', 'inputSchema': {'type': 'object'}}], 'resultType': 'complete',\n"
        "             'ttlMs': 0, 'cacheScope': 'public'}\n"
        "    known = {'server/discover': info, 'tools/list': tools}\n"
        "    reply = {'result': known[asked['method']]} if asked.get('method') in known else {'error': error}\n"
        "    if 'id' in asked:\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], **reply}), flush=True)\n"
    )
    look = look_at({"s": server(args=[str(script)])})["s"]
    assert isinstance(look, kept.Listing), look
    assert [tool.name for tool in look.tools] == ["new"]


def test_errors_are_of_the_kind_that_people_can_act_on() -> None:
    look = look_at({"s": Server(command="no-such-program")})["s"]
    assert isinstance(look, LLMOSError)
    assert not isinstance(look, UsageError)
    assert look.fix == "Correct [plugins.mcp.servers.s], then: llmos mcp refresh s"

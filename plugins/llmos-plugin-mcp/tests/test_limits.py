"""What a stranger's server may ask of us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp.types import CallToolResult, TextContent, Tool
from pydantic import ValidationError

from llmos_core import LLMOSError
from llmos_plugin_mcp import client, commands, kept, stdio
from llmos_plugin_mcp.look import look_at
from llmos_plugin_mcp.results import tool_result
from llmos_plugin_mcp.schema import input_model, why_unusable
from llmos_plugin_mcp.settings import Server, secrets

from .conftest import Boot, calls, server

KEY = 'first-"line"-\u00e9\nsecond-line\\\n'


def with_text(pattern: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}


def unfolding(levels: int) -> dict[str, Any]:
    level = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/d0"}},
        "$defs": {**level, f"d{levels}": {"type": "string"}},
    }


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (with_text("^(a+)+$"), "a quantifier inside of another"),
        (with_text("^((?:[a-z]*x))*$"), "a quantifier inside of another"),
        (with_text("^(a|b?){30}c"), "a quantifier inside of another"),
        ({"type": "object", "patternProperties": {"^(a*)*$": {}}}, "a quantifier inside of another"),
        (with_text("a" * 501), "a pattern of more than 500 characters"),
        (unfolding(10), "unfold to more than 1000"),
        (unfolding(3_000), "its schema is"),
        ({"type": "object", "description": "x" * 100_001}, "longer than 100000 characters"),
    ],
)
def test_schemas_that_ask_too_much(schema: dict[str, Any], reason: str) -> None:
    assert reason in str(why_unusable(schema))


@pytest.mark.parametrize(
    "schema",
    [
        with_text(r"^\d{4}-(\d{2})+[(+)*]*\(a+\)+(b+)?(?P<c>d){3}$"),
        with_text("a" * 500),
        unfolding(5),
        {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/$defs/no"}}},
    ],
)
def test_schemas_that_do_not(schema: dict[str, Any]) -> None:
    assert why_unusable(schema) is None


@pytest.mark.parametrize("digits", [400, 5_000])
def test_a_number_too_large_to_judge_is_a_wrong_input(digits: int) -> None:
    model = input_model("s__t", {"type": "object", "properties": {"a": {"multipleOf": 0.1}, "b": {"type": "string"}}})
    for key in "ab":
        with pytest.raises(ValidationError):
            model.model_validate({key: 10**digits})


def test_a_secret_is_known_in_every_form() -> None:
    known = secrets(server(env={"KEY": KEY, "TEST_HOME": ""}), {})
    for text in (KEY, KEY.strip(), repr(KEY), json.dumps(KEY), json.dumps(KEY, ensure_ascii=False), *KEY.splitlines()):
        left = client._without(f"<{text}>", known)
        assert "line" not in left, (text, left)
    headers = Server.model_validate(
        {"url": "https://x.org/mcp?key=in-the-query", "headers": {"A": "Bearer the-token-alone"}}
    )
    assert {"the-token-alone", "in-the-query"} <= set(secrets(headers, {}))
    assert headers.place == "https://x.org/mcp"


def redacted(text: str) -> str:
    return text.replace('a"secret', "***").replace("1234567890", "***")


def test_structured_content_is_redacted_before_it_is_escaped() -> None:
    content = {'a"secret': ['a"secret'], "n": 1234567890, "m": 5, "b": True}
    clean = {"***": ["***"], "n": "***", "m": 5, "b": True}
    result = tool_result(CallToolResult(content=[], structured_content=content), redacted, 1_000)
    assert result.data == {"structured": clean}
    assert json.loads(result.output) == clean
    texts = tool_result(CallToolResult(content=[TextContent(type="text", text='a"secret')]), redacted, 1_000)
    assert texts.output == "***"


def test_definitions_keep_their_bounds() -> None:
    tools = [
        Tool(name="a", description="Adds.", input_schema={"type": "object"}),
        Tool(name="b", description="x" * 20_001, input_schema={"type": "object"}),
    ]
    listing = client._listing("s", 'a"secret 1', tools, redacted)
    assert listing.about == "*** 1"
    assert [tool.name for tool in listing.tools] == ["a"]
    assert listing.refused == {"b": "its description is longer than 20000 characters"}


def test_last_words_are_redacted_before_they_are_cut(tmp_path: Path) -> None:
    secret = "s3cret-of-mine"
    for before in range(client._TAIL_CHARS - 20, client._TAIL_CHARS + 5):
        with (tmp_path / "log").open("wb+") as log:
            log.write(b"x" * 50 + secret.encode() + b"y" * before)
            log.flush()
            told = client._with_last_words("It ended.", log, [secret])
        assert "mine" not in told
    with (tmp_path / "log").open("rb") as log:
        why = client._with_last_words("x" * 990 + secret + "y" * 50, log, [secret])
    assert "s3c" not in why


def answering(tmp_path: Path, tools: str, call: str, greeting: str = "") -> Server:
    """A server of a few lines: it answers with these JSON texts."""
    script = tmp_path / "answers.py"
    info = (
        '{"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": ""}}'
    )
    known = {"initialize": greeting or f'"result": {info}', "tools/list": tools, "tools/call": call}
    script.write_text(
        "import json, sys\n"
        f"known = {known!r}\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    if 'id' in asked:\n"
        "        print('{\"jsonrpc\": \"2.0\", \"id\": %d, %s}' % (asked['id'], known[asked['method']]), flush=True)\n"
    )
    return server(args=[str(script)])


ONE_TOOL = '"result": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}'
BUSY = '"error": {"code": -32000, "message": "I am busy"}'


async def test_an_error_with_the_code_of_a_closed_connection_closes_none(boot: Boot, tmp_path: Path) -> None:
    chosen = answering(tmp_path, ONE_TOOL, BUSY)
    look = look_at({"s": chosen})["s"]
    assert isinstance(look, kept.Listing), look
    kept.save("s", chosen, look)
    results: list[Any] = []
    settings = {"command": chosen.command, "args": chosen.args, "env": {"TEST_HOME": str(tmp_path)}}
    act = calls(("s__t", {}), ("s__t", {}), into=results)
    async with boot(act, in_memory=True, unseen=True, s=settings) as system:
        await system.execute("Call it")
    assert [result.output for result in results] == ["The MCP server s failed at t. It answered: I am busy"] * 2


def test_its_words_are_told_where_it_greets_nobody(tmp_path: Path) -> None:
    look = look_at({"s": answering(tmp_path, ONE_TOOL, BUSY, greeting=BUSY)})["s"]
    assert isinstance(look, LLMOSError)
    assert "It answered: I am busy" in look.why


def test_a_single_page_may_not_hold_too_many_tools(tmp_path: Path) -> None:
    tools = json.dumps([{"name": f"t{n}", "inputSchema": {"type": "object"}} for n in range(1_001)])
    look = look_at({"s": answering(tmp_path, f'"result": {{"tools": {tools}}}', BUSY)})["s"]
    assert isinstance(look, LLMOSError)
    assert "more than 1000 tools" in look.what


def test_the_standard_error_that_is_kept_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab+", buffering=0) as log:
        for number in range(40):
            stdio._keep(b"%02d" % number * 32_768, log)
        text = (tmp_path / "log").read_bytes()
    assert stdio._LONGEST_LOG // 2 <= len(text) <= stdio._LONGEST_LOG
    assert text.endswith(b"39" * 32_768)
    assert b"00" * 32_768 not in text


async def test_a_server_that_floods_its_standard_error_is_kept_in_part(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('x' * (5 << 20) + chr(10) + 'the end'); sys.stderr.flush()"
    with (tmp_path / "log").open("wb+") as log, pytest.raises(LLMOSError) as error:
        async with client.connected("s", server(args=["-c", code]), log):
            pass
    assert error.value.why.endswith("x | the end.")
    assert (tmp_path / "log").stat().st_size <= stdio._LONGEST_LOG


def test_a_listed_address_shows_no_query() -> None:
    about = commands._about("s", Server(url="https://x.org/mcp?key=in-the-query"))
    assert (about["url"], about["command"]) == ("https://x.org/mcp", None)

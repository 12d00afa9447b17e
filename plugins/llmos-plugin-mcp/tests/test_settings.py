"""Settings and schemas: what is wrong is told once and clearly, and only the user's own file may name servers."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llmos_core import LLMOS, LLMOSError, SettingsError, load_settings
from llmos_plugin_mcp import plugin
from llmos_plugin_mcp.schema import input_model, why_unusable
from llmos_plugin_mcp.settings import McpSettings, environment

from .conftest import server, small


@pytest.mark.parametrize(
    ("name", "table", "problem"),
    [
        ("s", {}, "it needs either a command or a url"),
        ("s", {"command": "a", "url": "https://x.org/mcp"}, "it needs either a command or a url"),
        ("s", {"url": "https://x.org", "env": {"A": "b"}}, "args, env and cwd are for a command"),
        ("s", {"command": "a", "headers": {"A": "b"}}, "headers are for a url"),
        ("s", {"command": "a", "pure": ["x"], "repeatable": ["x"]}, "either pure or repeatable"),
        ("s", {"command": "a", "cwd": "here"}, "it must be an absolute path"),
        ("s", {"command": "a", "comand": "b"}, "extra"),
        ("s", {"command": "a", "timeout_s": 0}, "greater than 0"),
        ("s", {"url": "ftp://x.org"}, "pattern"),
        ("s", {"url": "https://user:password@x.org"}, "pattern"),
        ("s__t", {"command": "a"}, "no double underscore"),
        ("a b", {"command": "a"}, "pattern"),
        ("a" * 25, {"command": "a"}, "at most 24"),
    ],
)
def test_wrong_settings(name: str, table: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as error:
        McpSettings.model_validate({"servers": {name: table}})
    assert error.value.error_count() == 1


def test_a_wrong_setting_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config/llmos").mkdir(parents=True)
    file = tmp_path / "config/llmos/config.toml"
    file.write_text('[plugins.mcp.servers.s]\ncommand = "a"\ntimeout_s = "soon"\n')
    with pytest.raises(SettingsError) as error:
        LLMOS(tmp_path / "space", settings=load_settings(), discover=False, plugins={"mcp": plugin})
    assert "plugins.mcp.servers.s.timeout_s" in str(error.value)


def test_only_the_users_own_file_names_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    started = tmp_path / "started"
    (tmp_path / "llmos.toml").write_text(f'[plugins.mcp.servers.s]\ncommand = "touch"\nargs = ["{started}"]\n')
    with pytest.raises(SettingsError, match=r"plugins\.mcp\.servers"):
        LLMOS(tmp_path / "space", settings=load_settings(), discover=False, plugins={"mcp": plugin})
    assert not started.exists()


def test_secrets_are_not_shown() -> None:
    settings = McpSettings.model_validate({"servers": {"s": small(env={"KEY": "very-secret"})}})
    assert "very-secret" not in repr(settings)
    assert "very-secret" not in settings.model_dump_json()


def test_variables_are_filled_in() -> None:
    source = {"TOKEN": "t0k", "ANTHROPIC_API_KEY": "a", "LLMOS_X": "b", "PATH": "/bin", "LC_ALL": "C"}
    filled = environment("s", server(env={"A": "x-${TOKEN}-${TOKEN}", "B": "$TOKEN", "TEST_HOME": ""}), source)
    assert filled == {"PATH": "/bin", "LC_ALL": "C", "A": "x-t0k-t0k", "B": "$TOKEN", "TEST_HOME": ""}
    with pytest.raises(LLMOSError, match="s cannot be used") as error:
        environment("s", server(env={"A": "${NO_SUCH}"}), source)
    assert error.value.fix == "Set NO_SUCH, or change [plugins.mcp.servers.s]."


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"schema": {"type": "string"}, "model_dump": {"$ref": "#/$defs/n"}, "copy": {"enum": [1, 2]}},
    "required": ["schema"],
    "additionalProperties": False,
    "anyOf": [{"required": ["copy"]}, {"required": ["model_dump"]}],
    "$defs": {"n": {"type": "integer", "minimum": 3}},
}


def test_inputs_are_judged_by_a_json_schema() -> None:
    model = input_model("s__t", SCHEMA)
    assert model.model_validate({"schema": "x", "copy": 1}).model_dump() == {"schema": "x", "copy": 1}
    shown = model.model_json_schema()
    assert shown == {key: value for key, value in SCHEMA.items() if key != "anyOf"}
    shown["properties"].clear()
    assert model.model_json_schema()["properties"], "a copy"
    for wrong, place, text in (
        ({"schema": 1, "copy": 1}, ("schema",), "1 is not of type 'string'"),
        ({"schema": "x", "copy": 3}, ("copy",), "3 is not one of [1, 2]"),
        ({"schema": "x", "model_dump": 2}, ("model_dump",), "2 is less than the minimum of 3"),
        ({"schema": "x"}, (), "is not valid under any of the given schemas"),
        ({"schema": "x", "copy": 1, "more": 1}, (), "'more' was unexpected"),
    ):
        with pytest.raises(ValidationError) as error:
            model.model_validate(wrong)
        [fault] = error.value.errors()
        assert fault["loc"] == place
        assert text in fault["msg"]


def test_a_reference_leads_nowhere_but_into_the_schema() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5.0)  # so that this ends where something does fetch it
    try:
        _leads_nowhere()
    finally:
        socket.setdefaulttimeout(before)


def _leads_nowhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/schema.json"
        model = input_model("s__t", {"type": "object", "properties": {"a": {"$ref": address}}})
        with pytest.raises(ValidationError, match="the schema of this tool cannot be used"):
            model.model_validate({"a": 1})
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string"}, "its input is no object"),
        ({}, "its input is no object"),
        ({"type": "object", "properties": {"a": {"type": "nonsense"}}}, "its schema is wrong"),
        ({"type": "object", "properties": {"a b": {}}}, "the name of an argument"),
        ({"type": "object", "properties": 1}, "its schema is wrong"),
    ],
)
def test_schemas_that_cannot_be_used(schema: dict[str, Any], reason: str) -> None:
    assert reason in str(why_unusable(schema))

"""The tools keep the contract of every tool."""

from __future__ import annotations

import pytest

from llmos_core import Tool
from llmos_plugin_tools import plugin
from llmos_testkit.conformance import PluginConformance, ToolConformance

TOOLS = {"tools": plugin}


def tool_named(name: str) -> Tool:
    return next(tool for tool in plugin.llmos_tools() if tool.name == name)


class TestPlugin(PluginConformance):
    plugin_name = "tools"


class TestRead(ToolConformance):
    plugins = TOOLS
    example = {"file_path": "nothing.txt"}
    bad_examples = ({"file_path": "/etc/passwd"}, {"file_path": "."}, {"file_path": "\0"})

    @pytest.fixture
    def tool(self) -> Tool:
        return tool_named("Read")


class TestWrite(ToolConformance):
    plugins = TOOLS
    example = {"file_path": "hello.txt", "content": "h\u00e9llo\n"}
    bad_examples = ({"file_path": "../outside.txt", "content": ""}, {"file_path": ".", "content": ""})

    @pytest.fixture
    def tool(self) -> Tool:
        return tool_named("Write")


class TestEdit(ToolConformance):
    plugins = TOOLS
    example = {"file_path": "nothing.txt", "old_string": "a", "new_string": "b"}
    bad_examples = ({"file_path": "../outside.txt", "old_string": "a", "new_string": "b"},)

    @pytest.fixture
    def tool(self) -> Tool:
        return tool_named("Edit")


class TestBash(ToolConformance):
    plugins = TOOLS
    example = {"command": "echo hello"}
    bad_examples = ({"command": "exit 3"}, {"command": "a\0b"}, {"command": "no-such-command"})

    @pytest.fixture
    def tool(self) -> Tool:
        return tool_named("Bash")


class TestGlob(ToolConformance):
    plugins = TOOLS
    example = {"pattern": "**/*.py"}
    bad_examples = ({"pattern": "*", "path": "/nonexistent"},)

    @pytest.fixture
    def tool(self) -> Tool:
        return tool_named("Glob")


class TestGrep(ToolConformance):
    plugins = TOOLS
    example = {"pattern": "hello"}
    bad_examples = ({"pattern": "("}, {"pattern": "a", "path": "/nonexistent"})

    @pytest.fixture
    def tool(self) -> Tool:
        return tool_named("Grep")


def test_every_tool_is_checked() -> None:
    checked = {name.removeprefix("Test") for name in globals() if name.startswith("Test")} - {"Plugin"}
    assert checked == {tool.name for tool in plugin.llmos_tools()}

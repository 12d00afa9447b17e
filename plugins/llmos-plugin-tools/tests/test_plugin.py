from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from llmos_core import Tool
from llmos_plugin_tools import plugin
from llmos_plugin_tools.settings import ToolsSettings

INPUTS = {
    "Read": {"file_path": "a"},
    "Write": {"file_path": "a", "content": ""},
    "Edit": {"file_path": "a", "old_string": "b", "new_string": "c"},
    "Bash": {"command": "rm a"},
    "Glob": {"pattern": "*"},
    "Grep": {"pattern": "x"},
}


def test_contributes_the_six_tools_with_their_effects() -> None:
    tools = {tool.name: tool for tool in plugin.llmos_tools()}
    assert all(isinstance(tool, Tool) for tool in tools.values())
    effects = {name: tool.effect(tool.input_model.model_validate(INPUTS[name])) for name, tool in tools.items()}
    assert effects == {
        "Read": "pure",
        "Write": "workspace",
        "Edit": "workspace",
        "Bash": "external",
        "Glob": "pure",
        "Grep": "pure",
    }


@pytest.mark.parametrize("tool", plugin.llmos_tools(), ids=lambda tool: tool.name)
def test_inputs_are_strict_and_described(tool: Tool) -> None:
    schema = tool.input_model.model_json_schema()
    assert schema["additionalProperties"] is False
    assert all(field["description"] for field in schema["properties"].values())
    with pytest.raises(ValidationError, match="Extra inputs"):
        tool.input_model.model_validate({**INPUTS[tool.name], "run_in_background": True})
    text = next(name for name in INPUTS[tool.name])
    with pytest.raises(ValidationError, match=r"surrogates|unicode"):
        tool.input_model.model_validate({**INPUTS[tool.name], text: "\ud800"})


def test_inputs_have_the_names_that_models_know() -> None:
    names = {tool.name: list(tool.input_model.model_json_schema()["properties"]) for tool in plugin.llmos_tools()}
    assert names == {
        "Read": ["file_path", "offset", "limit"],
        "Write": ["file_path", "content"],
        "Edit": ["file_path", "old_string", "new_string", "replace_all"],
        "Bash": ["command", "timeout", "description"],
        "Glob": ["pattern", "path"],
        "Grep": [
            "pattern",
            "path",
            "glob",
            "type",
            "output_mode",
            "-B",
            "-A",
            "-C",
            "context",
            "-n",
            "-i",
            "-o",
            "head_limit",
            "offset",
            "multiline",
        ],
    }


def test_settings_are_strict_and_bounded() -> None:
    assert plugin.llmos_settings() is ToolsSettings
    for bad in ({"bash_timeout_ms": 600_001}, {"max_output_chars": 1}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            ToolsSettings.model_validate(bad)


def test_importing_the_plugin_imports_none_of_its_tools() -> None:
    code = "import sys, llmos_plugin_tools.plugin; print(*[m for m in sys.modules if m.startswith('llmos_plugin_t')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["llmos_plugin_tools", "llmos_plugin_tools.plugin"]

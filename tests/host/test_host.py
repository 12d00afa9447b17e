"""The plugin host: one bad plugin harms nothing, and says what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from llmos_core import PluginError, SettingsError, Tool, hookimpl
from llmos_core.host.discovery import PLUGIN_GROUP, find
from llmos_core.host.host import Host
from llmos_core.host.settings import Settings, SettingsFile
from tests.parts import Echo, Parts

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with one plugin on ``sys.path``, as an installer would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def add(name: str, source: str, value: str | None = None) -> None:
        (site / f"{name}.py").write_text(source)
        info = site / f"llmos_plugin_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: llmos-plugin-{name}\nVersion: 1.0\nSummary: A\n")
        (info / "entry_points.txt").write_text(f"[llmos.plugins]\n{name} = {value or name}\n")

    yield add
    for module in [name for name in sys.modules if (site / f"{name}.py").exists()]:
        del sys.modules[module]


GOOD = """
from llmos_core import Verdict, hookimpl

@hookimpl
async def llmos_pre_tool_use(call):
    return Verdict.allow()
"""

BAD = {
    "raises": ("raise RuntimeError('at import')", "import", "RuntimeError: at import"),
    "leaves": ("raise SystemExit(3)", "import", "SystemExit: 3"),
    "syntax": ("def (", "import", "SyntaxError"),
    "misspelt": (
        "from llmos_core import hookimpl\n@hookimpl\ndef llmos_pre_tool_us(call): ...",
        "register",
        "there is no hook named llmos_pre_tool_us",
    ),
    "arguments": (
        "from llmos_core import hookimpl\n@hookimpl\ndef llmos_event(evnt): ...",
        "register",
        "evnt",
    ),
    "contributes": (
        "from llmos_core import hookimpl\n@hookimpl\ndef llmos_tools(): raise ValueError('no tools')",
        "llmos_tools",
        "ValueError: no tools",
    ),
    "unmarked": ("async def llmos_pre_tool_use(call): ...", "register", "llmos_pre_tool_use lacks the mark @hookimpl"),
    "agents": (
        "from llmos_core import hookimpl\n@hookimpl\ndef llmos_settings(): return 5",
        "llmos_settings",
        "5 is no settings model",
    ),
    "nonsense": (
        "from llmos_core import hookimpl\n@hookimpl\ndef llmos_tools(): return [42]",
        "llmos_tools",
        "int is no Tool",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_plugin_is_contained_and_named(install: Install, kind: str) -> None:
    source, stage, reason = BAD[kind]
    install("zgood", GOOD)
    install(kind, source)
    host = Host(SettingsFile())
    host.collect("llmos_tools", Tool)
    states = {info.found.name: info for info in host.plugins}
    assert states["zgood"].state == "ok"
    assert states[kind].state == "broken"
    assert states[kind].stage == stage
    assert reason in (states[kind].error or "")
    assert [hook.plugin for hook in host.hook_table()["llmos_pre_tool_use"]] == ["zgood"]
    [fault] = host.faults
    assert f"The plugin {kind} is broken" in fault


def test_a_module_that_is_not_there(install: Install) -> None:
    install("gone", "", value="no_such_module")
    host = Host(SettingsFile())
    assert {info.found.name: info.state for info in host.plugins}["gone"] == "broken"


def test_a_disabled_plugin_is_never_imported(install: Install) -> None:
    install("raises", "raise RuntimeError")
    host = Host(SettingsFile(settings=Settings(disabled_plugins=("raises",))))
    assert {info.found.name: info.state for info in host.plugins}["raises"] == "disabled"
    assert host.faults == []


def test_finding_imports_nothing(install: Install) -> None:
    install("raises", "raise RuntimeError")
    assert "raises" in {found.name for found in find(PLUGIN_GROUP)}
    assert "raises" not in sys.modules


def test_interrupts_pass(install: Install) -> None:
    install("interrupts", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Host(SettingsFile())


def test_two_tools_of_one_name_are_an_error_that_names_both() -> None:
    host = Host(SettingsFile(), discover=False, plugins={"one": Parts([Echo()]), "two": Parts([Echo()])})
    with pytest.raises(PluginError) as caught:
        host.collect("llmos_tools", Tool)
    assert "They are one and two." in str(caught.value)


def test_two_plugins_of_one_name_are_not_mixed(install: Install) -> None:
    host = Host(SettingsFile(), discover=False, plugins={"one": Parts()})
    assert [info.state for info in host.plugins] == ["ok"]


class Colour(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = "red"


class Painted:
    @hookimpl
    def llmos_settings(self) -> type[BaseModel]:
        return Colour


def settings_of(**tables: Any) -> SettingsFile:
    return SettingsFile(path=Path("llmos.toml"), settings=Settings(plugins=tables))


def test_a_plugin_gets_its_own_validated_table() -> None:
    host = Host(settings_of(painted={"name": "blue"}), discover=False, plugins={"painted": Painted()})
    assert host.settings(Colour).name == "blue"
    assert Host(SettingsFile(), discover=False, plugins={"painted": Painted()}).settings(Colour).name == "red"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"painted": {"nme": "blue"}}, "plugins.painted.nme"),
        ({"painted": {"name": 3}}, "plugins.painted.name"),
        ({"other": {}}, "not installed: other"),
    ],
)
def test_wrong_settings_name_their_key(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Host(settings_of(**tables), discover=False, plugins={"painted": Painted()})
    assert message in str(caught.value)


def test_agents_are_read_from_markdown_and_a_broken_one_is_reported(tmp_path: Path) -> None:
    (tmp_path / "clerk.md").write_text("---\ndescription: Files things\ntools: Read, Write\n---\nYou file things.\n")
    (tmp_path / "broken.md").write_text("---\ndescription: [\n---\n")
    (tmp_path / "nameless.md").write_text("You have no description.")
    host = Host(SettingsFile(), discover=False)
    agents = host.agents(tmp_path)
    assert list(agents) == ["clerk"]
    assert agents["clerk"].tools == ("Read", "Write")
    assert agents["clerk"].system_prompt == "You file things."
    assert len(host.faults) == 2

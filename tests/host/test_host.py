"""The plugin host: one bad plugin harms nothing, and says what is wrong."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from llmos_core import SettingsError, Tool, hookimpl, hookspecs
from llmos_core.host.discovery import PLUGIN_GROUP, find
from llmos_core.host.host import Host
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile
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

BRINGS = """
from pydantic import BaseModel
from llmos_core import ToolResult, hookimpl

class Input(BaseModel):
    pass

class Tell:
    name = "Tell"
    description = "Tells."
    input_model = Input
    def effect(self, input): return "pure"
    async def run(self, input, run): return ToolResult(output="told")

@hookimpl
def llmos_tools():
    return [Tell()]
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
    "wrapper": (
        "from llmos_core import hookimpl\n@hookimpl(wrapper=True)\ndef llmos_tools():\n    return (yield)",
        "register",
        "llmos_tools is a wrapper",
    ),
    "specname": (
        "from llmos_core import hookimpl\n@hookimpl(specname='llmos_event')\ndef on_event(event): ...",
        "register",
        "name the function after its hook, llmos_event",
    ),
    "generator": (
        "from llmos_core import hookimpl\n@hookimpl\nasync def llmos_pre_tool_use(call):\n    yield",
        "register",
        "llmos_pre_tool_use is a generator",
    ),
    "collects": (
        "from llmos_core import hookimpl\n@hookimpl\nasync def llmos_tools(): return []",
        "register",
        "llmos_tools is async",
    ),
    "hangs": ("import time\ntime.sleep(1e6)", "import", "no answer within"),
    "waits": (
        "import time\nfrom llmos_core import hookimpl\n@hookimpl\ndef llmos_tools(): time.sleep(1e6)",
        "llmos_tools",
        "no answer within",
    ),
    "half": (
        "from llmos_core import hookimpl\n@hookimpl\ndef llmos_tools():\n    yield 1/0",
        "llmos_tools",
        "ZeroDivisionError",
    ),
    "mute": (
        "class Mute(Exception):\n    def __str__(self): raise SystemExit\nraise Mute",
        "import",
        "Mute",
    ),
    "agents": (
        "from llmos_core import hookimpl\n@hookimpl\ndef llmos_settings(): return 5",
        "settings",
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
    host = Host(SettingsFile(settings=Settings(limits=LimitSettings(plugin_timeout_s=1))))
    host.collect("llmos_tools", Tool)
    states = {info.found.name: info for info in host.plugins}
    assert states["zgood"].state == "ok"
    assert states[kind].state == "broken"
    assert states[kind].stage == stage
    assert reason in (states[kind].error or "")
    guards = {hook.plugin for hook in host.hook_table()["llmos_pre_tool_use"]}
    assert ("zgood" in guards, kind in guards) == (True, False)
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


class Shout(Echo):
    name = "Shout"


def test_two_tools_of_one_name_are_nobodys_until_the_settings_choose() -> None:
    plugins = {"one": Parts([Echo(), Shout()]), "two": Parts([Echo()])}
    host = Host(SettingsFile(), discover=False, plugins=plugins)
    assert list(host.collect("llmos_tools", Tool)) == ["Shout"]
    assert [(info.state, info.stage) for info in host.plugins] == [("conflict", "llmos_tools")] * 2
    [fault] = host.faults
    assert "Echo is used: it is contributed by one, two" in fault
    assert "[choose] tools.Echo" in fault
    chosen = SettingsFile(settings=Settings(choose={"tools": {"Echo": "two"}}))
    host = Host(chosen, discover=False, plugins=plugins)
    tools = host.collect("llmos_tools", Tool)
    assert {name: tool.plugin for name, tool in tools.items()} == {"Echo": "two", "Shout": "one"}
    assert [info.state for info in host.plugins] == ["ok", "ok"]
    assert host.faults == []


def test_a_plugin_that_contributes_a_name_twice_is_in_conflict_with_itself() -> None:
    host = Host(SettingsFile(), discover=False, plugins={"one": Parts([Echo(), Echo()])})
    assert host.collect("llmos_tools", Tool) == {}
    assert [info.state for info in host.plugins] == ["conflict"]


def test_contributions_say_where_they_came_from(install: Install) -> None:
    install("brings", BRINGS)
    tool = Host(SettingsFile()).collect("llmos_tools", Tool)["Tell"]
    assert (tool.kind, tool.plugin) == ("tools", "llmos-plugin-brings/brings")
    assert (tool.distribution, tool.version) == ("llmos-plugin-brings", "1.0")


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
    [({"painted": {"nme": "blue"}}, "plugins.painted.nme"), ({"painted": {"name": 3}}, "plugins.painted.name")],
)
def test_wrong_settings_name_their_key(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Host(settings_of(**tables), discover=False, plugins={"painted": Painted()})
    assert message in str(caught.value)


def test_settings_for_what_is_not_installed_are_told_and_stop_nothing() -> None:
    host = Host(settings_of(other={}), discover=False, plugins={"painted": Painted()})
    assert host.faults == ["There are settings for other, and no such plugin is installed: [plugins.other]."]


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


def test_a_deprecated_hook_is_told_with_its_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hookspecs.llmos_tools.llmos_spec, "warn_on_impl", "use llmos_gadgets")  # type: ignore[attr-defined]
    host = Host(SettingsFile(), discover=False, plugins={"old": Parts([Echo()])})
    assert host.faults == ["The plugin old: llmos_tools is deprecated: use llmos_gadgets"]
    assert list(host.collect("llmos_tools", Tool)) == ["Echo"]


def test_what_a_plugin_prints_while_it_loads_goes_to_stderr(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("prints", f"print('loading')\n{GOOD}")
    Host(SettingsFile())
    assert capsys.readouterr() == ("", "loading\n")


def test_a_hook_sees_the_settings_it_asks_for() -> None:
    seen: list[str] = []

    class Paints(Painted):
        @hookimpl
        def llmos_tools(self, settings: Callable[[type[BaseModel]], Colour]) -> list[Tool]:
            seen.append(settings(Colour).name)
            return []

    host = Host(settings_of(paints={"name": "blue"}), discover=False, plugins={"paints": Paints()})
    host.collect("llmos_tools", Tool)
    assert seen == ["blue"]


def test_a_warning_of_a_contribution_is_told() -> None:
    class Warns:
        @hookimpl
        def llmos_tools(self) -> list[Tool]:
            warnings.warn("the server is away", stacklevel=1)
            warnings.warn("written the old way", DeprecationWarning, stacklevel=1)
            return [Echo()]

    host = Host(SettingsFile(), discover=False, plugins={"warns": Warns()})
    assert list(host.collect("llmos_tools", Tool)) == ["Echo"]
    assert host.faults == ["The plugin warns: the server is away"]

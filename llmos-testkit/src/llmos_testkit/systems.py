"""Systems for tests: made of the plugins under test alone, whatever else is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from llmos_core import LLMOS, Settings, SettingsFile, hookimpl
from llmos_testkit.strategies import AnyAct

if TYPE_CHECKING:
    from llmos_core import AgentSpec, Ledger, Matcher, MemoryBackend, ModelProvider, Strategy, Tool

PLUGINS = "llmos.plugins"

_OWN = "llmos-testkit"


class _Plugin:
    """A plugin with the hooks it is given."""

    def __init__(self, hooks: Mapping[str, Callable[..., Any]]) -> None:
        for name, function in hooks.items():
            setattr(self, name, function if hasattr(function, "llmos_impl") else hookimpl(function))


def make_plugin(
    *,
    tools: Iterable[Tool] = (),
    agents: Iterable[AgentSpec | Path] = (),
    strategies: Iterable[Strategy] = (),
    matchers: Iterable[Matcher] = (),
    models: Iterable[ModelProvider] = (),
    ledgers: Iterable[Ledger] = (),
    memory_backends: Iterable[MemoryBackend] = (),
    settings: type[BaseModel] | None = None,
    **hooks: Callable[..., Any],
) -> object:
    """A plugin object that contributes what it is given; run-time hooks are given by their names.

    Example::

        async def judge(call):
            return Verdict.deny("never")

        system = llmos_system(make_plugin(tools=[Greet()], llmos_pre_tool_use=judge))

    """
    given: dict[str, Iterable[Any]] = {
        "tools": tools,
        "agents": agents,
        "strategies": strategies,
        "matchers": matchers,
        "models": models,
        "ledgers": ledgers,
        "memory_backends": memory_backends,
    }
    contributed = {f"llmos_{kind}": _giving(list(things)) for kind, things in given.items()}
    contributed = {name: function for name, function in contributed.items() if function()}
    if settings is not None:
        contributed["llmos_settings"] = _giving(settings)
    return _Plugin({**contributed, **hooks})


def _giving(value: Any) -> Callable[[], Any]:
    return lambda: value


@dataclass(frozen=True, slots=True)
class MakeSystem:
    """Makes systems of plugins under test; the fixture ``llmos_system``."""

    root: Path
    site: Path

    def __call__(
        self,
        *plugins: object,
        settings: Mapping[str, Any] | None = None,
        on_disk: bool = False,
        discover: bool = False,
        **named: object,
    ) -> LLMOS:
        """A system with these plugins and no other.

        Args:
            plugins: modules or objects with ``@hookimpl`` functions. A module is named as its entry point names it, or
                after itself; an object after its class.
            settings: what a settings file would hold, for example ``{"plugins": {"greeter": {"word": "Hi"}}}``.
            on_disk: whether it has a workspace, which the tests of one ``tmp_path`` share, as further processes would;
                else it keeps everything in memory and has no working directory.
            discover: whether distributions of ``plugin_distribution`` are found, and what they contribute loaded.
            named: further plugins, by name.

        Raises:
            SettingsError: the settings are wrong.

        """
        given = {**{plugin_name(plugin): plugin for plugin in plugins}, **named}
        if len(given) < len(plugins) + len(named):
            raise ValueError("two of the plugins have one name: give names to them, as keywords")
        given[_OWN] = make_plugin(strategies=[AnyAct()])
        file = SettingsFile(settings=Settings.model_validate(self._settings(settings or {}, discover)))
        if not on_disk and not discover:
            return LLMOS.in_memory(given, file)
        return LLMOS(self.root / "workspace", settings=file, discover=discover, plugins=given)

    def _settings(self, settings: Mapping[str, Any], discover: bool) -> dict[str, Any]:
        disabled = [*settings.get("disabled_plugins", ()), *(installed_elsewhere(self.site) if discover else ())]
        return {**settings, "disabled_plugins": disabled}


@dataclass(frozen=True, slots=True)
class MakeHost:
    """Loads plugins under test; the fixture ``llmos_host``."""

    make_system: MakeSystem

    def __call__(self, *plugins: object, **options: Any) -> Any:
        """The host of a system of these plugins: ``plugins`` tells their states, ``faults`` what users are told.

        The arguments are those of ``llmos_system``.

        Example::

            plugin_distribution("llmos-plugin-bad", "raise RuntimeError('no')")
            [info] = [info for info in llmos_host(discover=True).plugins if info.name == "bad"]
            assert (info.state, info.stage) == ("broken", "import")

        """
        return self.make_system(*plugins, **options).host


def plugin_name(plugin: object) -> str:
    """What a plugin object is called: as its entry point says, or after the module or class it is."""
    if not isinstance(plugin, ModuleType):
        return type(plugin).__name__.lstrip("_").lower()
    import importlib_metadata as metadata

    for entry in metadata.entry_points(group=PLUGINS):
        if entry.value == plugin.__name__:
            return str(entry.name)
    parts = [part for part in plugin.__name__.split(".") if part != "plugin"]
    return (parts or [plugin.__name__])[-1].removeprefix("llmos_plugin_").replace("_", "-")


def installed_elsewhere(site: Path) -> list[str]:
    """The distributions with plugins that are installed, but not in this directory."""
    import importlib_metadata as metadata

    elsewhere = (found for found in metadata.distributions() if Path(str(found.locate_file(""))) != site)
    return sorted({found.name for found in elsewhere if found.entry_points.select(group=PLUGINS)})

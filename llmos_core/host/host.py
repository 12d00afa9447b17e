"""Loading plugins, one bad one harming nothing, and collecting what they contribute."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

import pluggy
from pydantic import BaseModel, ValidationError

from llmos_core import hookspecs
from llmos_core.contracts import HookFunction
from llmos_core.errors import PluginError, SettingsError
from llmos_core.host.agents import read_agent
from llmos_core.host.discovery import PLUGIN_GROUP, Found, find
from llmos_core.host.settings import SettingsFile, check_own, validated
from llmos_core.records import AgentSpec

S = TypeVar("S", bound=BaseModel)
Named = TypeVar("Named")

PluginState = Literal["ok", "disabled", "broken"]
RUN_TIME_HOOKS = (
    "llmos_user_prompt_submit",
    "llmos_pre_tool_use",
    "llmos_post_tool_use",
    "llmos_pre_model_request",
    "llmos_post_model_response",
    "llmos_stop",
    "llmos_event",
)


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A discovered plugin and how its loading went. ``stage`` and ``error`` are set for a broken one."""

    found: Found
    state: PluginState
    stage: str | None = None
    error: str | None = None


class Host:
    """The plugins of a system: loaded once, each in isolation.

    Args:
        settings: the settings that name disabled plugins and hold each plugin's table.
        discover: whether installed plugins are loaded; off in unit tests.
        plugins: plugin objects given directly, by name (modules or instances with ``@hookimpl`` methods).

    ``faults`` collects what is wrong with plugins and agents, a line each, for the user.

    """

    def __init__(
        self, settings: SettingsFile, *, discover: bool = True, plugins: Mapping[str, object] | None = None
    ) -> None:
        self._settings_file = settings
        self._manager = pluggy.PluginManager("llmos")
        self._manager.add_hookspecs(hookspecs)
        self._plugin_settings: dict[type[BaseModel], tuple[str, BaseModel]] = {}
        self.plugins: list[PluginInfo] = []
        self.faults: list[str] = []
        for found in find(PLUGIN_GROUP) if discover else ():
            self._load(found)
        for name, plugin in (plugins or {}).items():
            found = Found(name=name, value=repr(plugin), distribution="", version="")
            self._admit(found, partial(_given, plugin))
        self._read_settings()

    def _load(self, found: Found) -> None:
        disabled = self._settings_file.settings.disabled_plugins
        if found.name in disabled or found.distribution in disabled:
            self.plugins.append(PluginInfo(found=found, state="disabled"))
            return
        self._admit(found, lambda: import_module(found.value))

    def _admit(self, found: Found, load: Callable[[], object]) -> None:
        stage = "import"
        try:
            plugin = load()
            stage = "register"
            self._register(found.name, plugin)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad plugin harms nothing; it is reported
            self._mark_broken(found, stage, error)
        else:
            self.plugins.append(PluginInfo(found=found, state="ok"))

    def _register(self, name: str, plugin: object) -> None:
        if self._manager.has_plugin(name):
            raise PluginError(f"another plugin is named {name} too")
        _check_hook_names(plugin)
        try:
            self._manager.register(plugin, name=name)
        except pluggy.PluginValidationError:
            self._manager.unregister(name=name)
            raise

    def _mark_broken(self, found: Found, stage: str, error: BaseException) -> None:
        self.plugins = [info for info in self.plugins if info.found != found]
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self.plugins.append(PluginInfo(found=found, state="broken", stage=stage, error=text))
        advice = f'To silence this: disabled_plugins = ["{found.name}"] in llmos.toml.'
        self.faults.append(f"The plugin {found.name} is broken (at {stage}: {text}). {advice}")

    def _read_settings(self) -> None:
        tables = self._settings_file.settings.plugins
        known = {info.found.name for info in self.plugins}
        if unknown := set(tables) - known:
            names = ", ".join(sorted(unknown))
            raise SettingsError(
                f"Settings for a plugin that is not installed: {names}",
                f"{self._settings_file.path} has a table [plugins.{names}].",
                "Install the plugin, or remove the table.",
            )
        for name, kind in self._contributions("llmos_settings", single=True):
            if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
                found = next(info.found for info in self.plugins if info.found.name == name)
                self._mark_broken(found, "llmos_settings", TypeError(f"{kind!r} is no settings model"))
                continue
            check_own(kind, name, self._settings_file)
            settings = validated(kind, tables.get(name, {}), self._settings_file.path, ("plugins", name))
            self._plugin_settings[kind] = (name, settings)

    def settings(self, kind: type[S]) -> S:
        """The settings that a plugin contributed as ``kind``; its defaults where no plugin did."""
        if kind not in self._plugin_settings:
            return kind()
        settings = self._plugin_settings[kind][1]
        assert isinstance(settings, kind)
        return settings

    def _contributions(self, hook: str, *, single: bool = False) -> Iterator[tuple[str, Any]]:
        """What each plugin contributes to a hook, in the order of the plugins; a failing one is marked broken."""
        order = {info.found.name: place for place, info in enumerate(self.plugins)}
        impls = getattr(self._manager.hook, hook).get_hookimpls()
        for impl in sorted(impls, key=lambda impl: order.get(impl.plugin_name, -1)):
            try:
                answer = impl.function(**dict.fromkeys(impl.argnames, self.settings))
                items = [answer] if single else list(answer)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad plugin harms nothing; it is reported
                found = next(info.found for info in self.plugins if info.found.name == impl.plugin_name)
                self._mark_broken(found, hook, error)
                continue
            for item in items:
                yield impl.plugin_name, item

    def collect(self, hook: str, contract: type[Named]) -> dict[str, Named]:
        """Contributions by their ``name``.

        What does not fulfil the contract marks its plugin broken. Raises PluginError where two plugins contribute
        the same name.
        """
        collected: dict[str, Named] = {}
        origin: dict[str, str] = {}
        for plugin, item in self._contributions(hook):
            if not isinstance(item, contract) or not isinstance(item.name, str):  # type: ignore[attr-defined]
                found = next(info.found for info in self.plugins if info.found.name == plugin)
                fault = TypeError(f"{type(item).__name__} is no {contract.__name__}")
                self._mark_broken(found, hook, fault)
                continue
            name: str = item.name  # type: ignore[attr-defined]
            if name in collected:
                raise PluginError(
                    f"Two plugins contribute {name!r} to {hook}.",
                    f"They are {origin[name]} and {plugin}.",
                    f'Disable one in llmos.toml: disabled_plugins = ["{plugin}"]',
                )
            collected[name], origin[name] = item, plugin
        return collected

    def names(self, hook: str) -> set[str]:
        """Contributions that are names only."""
        return {str(item) for _, item in self._contributions(hook)}

    def agents(self, directory: Path | None) -> dict[str, AgentSpec]:
        """Agents of plugins, then those of the workspace's ``agents/`` (Markdown), which win by name."""
        sources = [item for _, item in self._contributions("llmos_agents")]
        if directory and directory.is_dir():
            sources += sorted(directory.glob("*.md"))
        agents: dict[str, AgentSpec] = {}
        for source in sources:
            try:
                agent = read_agent(source) if isinstance(source, Path) else AgentSpec.model_validate(source)
            except (PluginError, ValidationError) as error:
                self.faults.append(" ".join(str(error).split()))
            else:
                agents[agent.name] = agent
        return agents

    def hook_table(self) -> dict[str, Sequence[HookFunction]]:
        """The implementations of the run-time hooks, in pluggy's calling order."""
        return {name: tuple(self._functions(name)) for name in RUN_TIME_HOOKS}

    def _functions(self, hook: str) -> Iterable[HookFunction]:
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            yield HookFunction(
                plugin=impl.plugin_name,
                function=impl.function,
                arguments=tuple(impl.argnames),
                is_async=inspect.iscoroutinefunction(impl.function),
            )


def _given(plugin: object) -> object:
    return plugin


def _check_hook_names(plugin: object) -> None:
    """Raise for a misspelt hook, which pluggy would register in silence, and for one whose mark was forgotten."""
    for name in dir(plugin):
        found = getattr(plugin, name, None)
        marked = getattr(found, "llmos_impl", None) is not None
        known = name.startswith("llmos_") and isinstance(getattr(hookspecs, name, None), types.FunctionType)
        if marked and not known:
            raise PluginError(f"there is no hook named {name}")
        if known and not marked and callable(found):
            raise PluginError(f"{name} lacks the mark @hookimpl")

"""Loading plugins, one bad one harming nothing, and collecting what they contribute."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy
from pydantic import BaseModel

from llmos_core import hookspecs
from llmos_core.contracts import HookFunction, Strategy, Tool
from llmos_core.errors import PluginError, SettingsError, describe
from llmos_core.host.agents import read_agent
from llmos_core.host.discovery import Found
from llmos_core.host.inventory import recall, remember
from llmos_core.host.loading import bounded, deprecations, hooks_of, load, warned
from llmos_core.host.local import LOCAL
from llmos_core.host.plugins import KINDS, PluginInfo, survey
from llmos_core.host.settings import SettingsFile, layers_of, plugin_settings, secrets_of, unknown_plugins
from llmos_core.records import AgentSpec, Check, Verdict

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")
U = TypeVar("U")

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the Messages API takes for the name of a tool."""

SHORTEST_SECRET = 12
"""A shorter credential is no secret (a local server takes any word), and its letters occur everywhere."""

_GUARDS = ("llmos_pre_tool_use", "llmos_pre_model_request")


@dataclass(frozen=True, slots=True)
class Contribution(Generic[T]):
    """A named thing and who brought it."""

    kind: str
    name: str
    value: T
    plugin: str
    distribution: str
    version: str


class Host:
    """The loaded plugins of a process.

    Args:
        file: the settings.
        discover: whether installed plugins are loaded.
        plugins: further plugin objects, by name.
        local: the workspace's directory of plugins without a package.

    Raises:
        SettingsError: a plugin's settings are wrong.

    """

    def __init__(
        self,
        file: SettingsFile,
        *,
        discover: bool = True,
        plugins: Mapping[str, object] | None = None,
        local: Path | None = None,
    ) -> None:
        self._file = file
        self._choose = file.settings.choose
        self._timeout_s = file.settings.limits.plugin_timeout_s
        self._manager = pluggy.PluginManager("llmos")
        self._manager.add_hookspecs(hookspecs)
        self._settings: dict[type[BaseModel], BaseModel] = {}
        self._unread: dict[type[BaseModel], str] = {}
        self._stuck: set[str] = set()
        self.plugin_settings: dict[str, BaseModel] = {}
        self._collected: dict[str, dict[str, Contribution[Any]]] = {}
        self._infos: dict[str, PluginInfo] = {}
        self.faults: list[str] = []
        self._whole = discover and not plugins
        for info in survey(file.settings.disabled_plugins, self._choose, local) if discover else ():
            self._infos[info.id] = info
            if info.state == "ok":
                self._admit(info, partial(load, info.found))
            elif info.error and info.stage != "name":
                self._tell(info)
        for name, plugin in (plugins or {}).items():
            info = self._infos[name] = PluginInfo(Found(name, type(plugin).__name__, "", ""))
            self._admit(info, partial(_given, plugin))
        self._tell_rivals()
        for kind in sorted(self._choose.keys() - {*KINDS.values(), "plugins", "commands"}):
            self.faults.append(
                f"[choose] {kind} chooses nothing: there are {', '.join(KINDS.values())}, plugins, commands."
            )
        self._read_settings()

    @property
    def plugins(self) -> Sequence[PluginInfo]:
        """All plugins, in their order: installed ones by distribution and name, those of the workspace, given ones."""
        return tuple(self._infos.values())

    def _admit(self, info: PluginInfo, load_it: Callable[[], object]) -> None:
        stage = "import"
        try:
            plugin = bounded(load_it, self._timeout_s)
            stage = "register"
            hooks = bounded(partial(hooks_of, plugin), self._timeout_s)
            self._manager.register(plugin, name=info.id)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad plugin harms nothing; it is reported
            self._break(info.id, stage, error)
        else:
            self._infos[info.id] = replace(info, hooks=hooks, contributions={})
            self.faults += [f"The plugin {info.id}: {note}" for note in deprecations(hooks)]

    def _break(self, plugin: str, stage: str, error: BaseException) -> None:
        """Mark a plugin as broken; the first fault counts, and is told."""
        info = self._infos[plugin]
        if info.state == "broken":
            return
        fix = f"Upgrade, repair or uninstall it; to silence this: llmos plugins disable {info.name}"
        text = self._redacted(describe(error))
        self._infos[plugin] = replace(info, state="broken", stage=stage, error=text, fix=fix)
        self._tell(self._infos[plugin])

    def _tell(self, info: PluginInfo) -> None:
        stage = f"at {info.stage}: " if info.stage else ""
        self.faults.append(f"The plugin {info.name} is {info.state} ({stage}{info.error}). {info.fix}")

    def _note_warning(self, plugin: str, text: str) -> None:
        self.faults.append(f"The plugin {self._infos[plugin].name}: {self._redacted(text)}")

    def _redacted(self, text: str) -> str:
        for secret in self.secrets():
            text = text.replace(secret, "***") if len(secret) >= SHORTEST_SECRET else text
        return text

    def _tell_rivals(self) -> None:
        """Say which plugins of one name were not loaded, in a line for each name."""
        rivals: defaultdict[str, list[PluginInfo]] = defaultdict(list)
        for info in self._infos.values():
            if info.state == "conflict" and info.distribution == LOCAL:
                self._tell(info)
            elif info.state == "conflict":
                rivals[info.name].append(info)
        for name, infos in rivals.items():
            ids = ", ".join(info.id for info in infos)
            self.faults.append(f"No plugin {name} is loaded, since there is more than one: {ids}. {infos[0].fix}")

    def _read_settings(self) -> None:
        for name in unknown_plugins(self._file, {info.name for info in self._infos.values()}):
            self.faults.append(f"There are settings for {name}, and no such plugin is installed: [plugins.{name}].")
        for plugin, kind in self._answers("llmos_settings", lambda answer: [answer]):
            try:
                if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
                    raise TypeError(f"{describe_value(kind)} is no settings model")
                read = partial(plugin_settings, kind, self._infos[plugin].name, self._file)
                self._settings[kind] = self.plugin_settings[self._infos[plugin].name] = bounded(read, self._timeout_s)
            except (Exception, SystemExit) as error:
                if isinstance(error, SettingsError) and layers_of(
                    kind, ("plugins", self._infos[plugin].name), self._file
                ):
                    raise
                if isinstance(kind, type):
                    self._unread[kind] = plugin
                self._break(plugin, "settings", error)  # or it needs what nobody has set

    def settings(self, kind: type[S]) -> S:
        """The settings that a plugin contributed as ``kind``; its defaults where no plugin did.

        Raises SettingsError where they could not be read: a guard must not judge by others than its user's.
        """
        if kind in self._unread:
            raise SettingsError(f"The settings of {self._unread[kind]} could not be read.")
        settings = self._settings.get(kind)
        settings = kind() if settings is None else settings
        assert isinstance(settings, kind)
        return settings

    def secrets(self) -> Sequence[str]:
        """What the settings of plugins hold in secret: nothing may print it."""
        return [secret for settings in self.plugin_settings.values() for secret in secrets_of(settings)]

    def _answers(self, hook: str, unpack: Callable[[Any], Iterable[Any]] = list) -> Iterator[tuple[str, Any]]:
        """What each plugin answers to a hook, in the order of the plugins; a failing one is marked broken."""
        order = list(self._infos)
        impls = getattr(self._manager.hook, hook).get_hookimpls()
        for impl in sorted(impls, key=lambda impl: order.index(impl.plugin_name)):
            if impl.plugin_name in self._stuck:
                continue  # what hung once would make every hook wait
            ask = partial(impl.function, **dict.fromkeys(impl.argnames, self.settings))
            try:
                with warned(partial(self._note_warning, impl.plugin_name)):
                    items = bounded(lambda ask=ask: list(unpack(ask())), self._timeout_s)  # type: ignore[misc]
            except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad plugin harms nothing; it is reported
                if isinstance(error, TimeoutError):
                    self._stuck.add(impl.plugin_name)
                self._break(impl.plugin_name, hook, error)
                continue
            for item in items:
                yield impl.plugin_name, item

    def collect(self, hook: str, contract: type[T]) -> Mapping[str, Contribution[T]]:
        """Contributions by their ``name``.

        What does not fulfil the contract marks its plugin broken. A name that two plugins contribute is in no hand,
        and both are marked, until the settings choose.
        """
        return self._once(hook, lambda: self._named(hook, contract))

    def ask(self, contribution: Contribution[T], question: Callable[[T], U]) -> U | None:
        """What a contribution answers at boot; None where it fails, which marks its plugin broken."""
        try:
            return bounded(partial(question, contribution.value), self._timeout_s)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad plugin harms nothing; it is reported
            self._break(contribution.plugin, contribution.kind, error)
            return None

    def failing_with(self, hook: str) -> str:
        """The plugins that fail and have a hook, or had it when they were last loaded."""
        failing = (info for info in self._infos.values() if info.state in ("broken", "conflict"))
        found = [info.id for info in failing if hook in (info.hooks or ())]
        return ", ".join([*found, *(info.id for info in self._lost(hook))])

    def checks(self) -> Sequence[Check]:
        """What plugins find about this machine."""
        return [check for _, check in self._answers("llmos_checks", lambda items: map(Check.model_validate, items))]

    def agents(self, directory: Path | None) -> Mapping[str, AgentSpec]:
        """Agents of plugins, then those of the workspace's ``agents/`` (Markdown), which win by name."""
        agents = {name: agent.value for name, agent in self._once("llmos_agents", self._plugin_agents).items()}
        for path in sorted(directory.glob("*.md")) if directory and directory.is_dir() else ():
            try:
                agent = read_agent(path)
            except PluginError as error:
                self.faults.append(" ".join(str(error).split()))
            else:
                agents[agent.name] = agent
        return agents

    def names(self, hook: str) -> set[str]:
        """Contributions that are names only; several plugins may give the same."""
        return set(self._once(hook, lambda: self._words(hook)))

    def _words(self, hook: str) -> Iterator[tuple[str, str, str]]:
        return ((plugin, word, word) for plugin, word in self._answers(hook, lambda items: map(_word, items)))

    def _named(self, hook: str, contract: type[Any]) -> Iterator[tuple[str, str, Any]]:
        check = partial(_fulfilled, contract)
        return ((plugin, item.name, item) for plugin, item in self._answers(hook, lambda items: map(check, items)))

    def _plugin_agents(self) -> Iterator[tuple[str, str, AgentSpec]]:
        agents = self._answers("llmos_agents", lambda items: map(_agent, items))
        return ((plugin, agent.name, agent) for plugin, agent in agents)

    def _once(self, hook: str, items: Callable[[], Iterable[tuple[str, str, Any]]]) -> Mapping[str, Contribution[Any]]:
        if hook not in self._collected:
            offers: defaultdict[str, list[Contribution[Any]]] = defaultdict(list)
            for plugin, name, value in items():
                info = self._infos[plugin]
                offers[name].append(Contribution(KINDS[hook], name, value, plugin, info.distribution, info.version))
            self._collected[hook] = {
                name: chosen for name, offer in offers.items() if (chosen := self._settled(hook, name, offer))
            }
            self._note(hook, offers)
        return self._collected[hook]

    def _settled(self, hook: str, name: str, offer: Sequence[Contribution[T]]) -> Contribution[T] | None:
        """The one that counts of what is offered under a name."""
        if len(offer) == 1 or hook == "llmos_native_tools":
            return offer[0]
        choice = self._choose.get(KINDS[hook], {}).get(name)
        chosen = [one for one in offer if choice in self._infos[one.plugin].found.names]
        if len(chosen) == 1:
            return chosen[0]
        ids = ", ".join(sorted({one.plugin for one in offer}))
        if choice is not None:
            ids += f" (and not by {choice}, which [choose] names)"
        what = f"{KINDS[hook]}.{name}"
        fix = f'Disable one, or choose in your settings: [choose] {what} = "{offer[0].distribution or offer[0].plugin}"'
        for plugin in {one.plugin for one in offer}:
            info = self._infos[plugin]
            if info.state != "broken":
                error = f"{name} is contributed by {ids}"
                self._infos[plugin] = replace(info, state="conflict", stage=hook, error=error, fix=fix)
        self.faults.append(f"Nobody's {name} is used: it is contributed by {ids}. {fix}")
        return None

    def _note(self, hook: str, offers: Mapping[str, Sequence[Contribution[Any]]]) -> None:
        """Keep with each plugin what it contributes."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name, offer in offers.items():
            for plugin in {one.plugin for one in offer}:
                names[plugin].append(name)
        for plugin, brought in names.items():
            info = self._infos[plugin]
            contributions = {**(info.contributions or {}), KINDS[hook]: tuple(sorted(brought))}
            self._infos[plugin] = replace(info, contributions=contributions)

    def remember(self) -> None:
        """Keep what was seen of the installed plugins, once all is collected, for those who only list them."""
        if self._whole:
            # Of one that failed, what it had before stays known: a guard that is away must be missed.
            seen = recall([replace(info, state="ok") for info in self.plugins])
            kept = [
                replace(info, hooks=old.hooks, contributions=old.contributions)
                if info.hooks is None and info.state not in ("ok", "disabled")
                else info
                for info, old in zip(self.plugins, seen, strict=True)
            ]
            remember(kept)

    def hook_table(self) -> dict[str, Sequence[HookFunction]]:
        """The implementations of the run-time hooks, in pluggy's calling order."""
        table: dict[str, Sequence[HookFunction]] = {name: tuple(self._functions(name)) for name in hookspecs.RUN_TIME}
        for name in _GUARDS:
            table[name] = (*table[name], *(_in_place_of(info, name) for info in self._lost(name)))
        return table

    def _lost(self, hook: str) -> Iterable[PluginInfo]:
        """The plugins that were not loaded, though nobody disabled them, and that had this hook when they were last."""
        away = [info for info in self._infos.values() if info.hooks is None and info.state not in ("ok", "disabled")]
        before = recall([replace(info, state="ok") for info in away])
        return [info for info, seen in zip(away, before, strict=True) if hook in (seen.hooks or ())]

    def _functions(self, hook: str) -> Iterable[HookFunction]:
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            yield HookFunction(
                plugin=self._infos[impl.plugin_name].name,
                function=impl.function,
                arguments=tuple(impl.argnames),
                is_async=inspect.iscoroutinefunction(impl.function),
            )


def _in_place_of(info: PluginInfo, hook: str) -> HookFunction:
    """A guard that denies as long as the one that should judge is away."""

    async def deny() -> Verdict:
        fix = f"mend it, or switch it off: llmos plugins disable {info.name}"
        return Verdict.deny(f"the guard of {info.id} was not loaded: it is {info.state}; {fix}", rule="guard-failed")

    return HookFunction(plugin=info.name, function=deny, arguments=(), is_async=True)


def _word(item: object) -> str:
    if not isinstance(item, str):
        raise TypeError(f"{type(item).__name__} is no name")
    return item


def _agent(item: object) -> AgentSpec:
    return read_agent(item) if isinstance(item, Path) else AgentSpec.model_validate(item)


def _fulfilled(contract: type[Any], item: Any) -> Any:
    """What fulfils its contract. Raises TypeError: of its parts, those are judged that a model or a user would meet."""
    if not isinstance(item, contract) or not isinstance(item.name, str):
        raise TypeError(f"{type(item).__name__} is no {contract.__name__}")
    if contract is Tool:
        if not _TOOL_NAME.fullmatch(item.name) or not isinstance(item.description, str):
            raise TypeError(f"{item.name!r} needs a name of 1 to 64 letters, digits, _ or -, and a description")
        if not (isinstance(item.input_model, type) and issubclass(item.input_model, BaseModel)):
            raise TypeError(f"the input model of {item.name} is {describe_value(item.input_model)}, no pydantic model")
    if contract is Strategy and item.name != item.name.upper():
        raise TypeError(f"the strategy {item.name} must have an upper-case name")
    return item


def describe_value(value: object) -> str:
    """What a plugin answered, without running more of its code."""
    return type(value).__name__ if not isinstance(value, (int, float, str, type(None))) else repr(value)[:100]


def _given(plugin: object) -> object:
    return plugin

"""One installed plugin, found and loaded by its entry point; no other is touched."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from llmos_core import UsageError
from llmos_testkit.conformance.sources import normalised

PLUGIN_GROUP = "llmos.plugins"
COMMAND_GROUP = "llmos.commands"


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin as its metadata names it. ``module`` is None for a distribution that brings commands only."""

    name: str
    module: str | None
    distribution: str
    commands: tuple[metadata.EntryPoint, ...]

    @property
    def about(self) -> metadata.PackageMetadata:
        return metadata.metadata(self.distribution)

    @property
    def requires(self) -> Sequence[str]:
        return metadata.requires(self.distribution) or ()

    @property
    def package(self) -> str | None:
        """The top-level package of its code."""
        named = self.module or next((entry.module for entry in self.commands), None)
        return named.partition(".")[0] if named else None

    def load(self) -> Any:
        """The plugin itself, imported."""
        if self.module is None:
            return None
        module, _, attribute = self.module.partition(":")
        loaded: Any = import_module(module)
        return getattr(loaded, attribute) if attribute else loaded


def find(wanted: str) -> Installed:
    """The plugin of an entry point, a distribution, or both (``distribution/name``). Raises UsageError."""
    found = [plugin for plugin in _all() if wanted in _names(plugin)]
    if not found:
        known = ", ".join(sorted({plugin.name for plugin in _all()})) or "none"
        raise UsageError(f"No plugin {wanted} is installed.", f"There are: {known}.", "Install it, or name another.")
    if len(found) > 1:
        ids = ", ".join(f"{plugin.distribution}/{plugin.name}" for plugin in found)
        raise UsageError(f"{wanted} is the name of several plugins.", f"They are: {ids}.", "Name one of these.")
    return found[0]


def _names(plugin: Installed) -> set[str]:
    return {plugin.name, plugin.distribution, f"{plugin.distribution}/{plugin.name}"}


def _all() -> list[Installed]:
    plugins = []
    for distribution in {normalised(d.name): d for d in reversed(list(metadata.distributions()))}.values():
        commands = tuple(e for e in distribution.entry_points if e.group == COMMAND_GROUP)
        named = [(e.name, e.value) for e in distribution.entry_points if e.group == PLUGIN_GROUP]
        if not named and commands and normalised(distribution.name) != "llmos-core":
            named = [(normalised(distribution.name).removeprefix("llmos-plugin-"), "")]
        plugins += [Installed(name, value or None, distribution.name, commands) for name, value in named]
    return plugins


def contributed(plugin: object, hook: str) -> list[Any]:
    """What a plugin contributes to a hook, with the defaults of its settings."""
    function = getattr(plugin, hook, None)
    if function is None:
        return []
    given = {"settings": lambda kind: kind()} if "settings" in inspect.signature(function).parameters else {}
    return list(function(**given))

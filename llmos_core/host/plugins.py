"""What is known of the installed plugins without importing any: which may be loaded, and why the others may not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from llmos_core.host.discovery import PLUGIN_GROUP, Found, find, misfit
from llmos_core.host.local import find_local, why_off

PluginState = Literal["ok", "disabled", "incompatible", "conflict", "broken"]

Choices = Mapping[str, Mapping[str, str]]
"""The table ``[choose]``: by kind and name, whose contribution counts."""

KINDS = {
    "llmos_tools": "tools",
    "llmos_agents": "agents",
    "llmos_strategies": "strategies",
    "llmos_memory_backends": "backends",
    "llmos_matchers": "matchers",
    "llmos_models": "models",
    "llmos_native_tools": "native_tools",
    "llmos_ledgers": "ledgers",
}
"""The hooks that contribute named things, and what these are called."""

ALL = "*"
"""In the list of disabled plugins: every one."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A discovered plugin and what became of it.

    ``stage`` is where it failed: ``metadata``, ``name``, ``import``, ``register``, ``settings`` or a hook. ``fix`` says
    what to do. ``hooks`` and ``contributions`` (names by kind) are None as long as it was not loaded.
    """

    found: Found
    state: PluginState = "ok"
    stage: str | None = None
    error: str | None = None
    fix: str = ""
    hooks: tuple[str, ...] | None = None
    contributions: Mapping[str, tuple[str, ...]] | None = None

    @property
    def name(self) -> str:
        return self.found.name

    @property
    def id(self) -> str:
        return self.found.id

    @property
    def distribution(self) -> str:
        return self.found.distribution

    @property
    def version(self) -> str:
        return self.found.version


def survey(disabled: Collection[str], choose: Choices, local: Path | None = None) -> list[PluginInfo]:
    """All plugins, with the states that can be told from metadata and settings; ``ok`` ones may be loaded.

    ``local`` is the workspace's directory of plugins without a package.
    """
    infos = [_judged(found, disabled) for found in find(PLUGIN_GROUP)]
    infos = _without_rivals(infos, choose.get("plugins", {}))
    taken = {info.name for info in infos if info.state == "ok"}
    return [*infos, *(_judged_local(found, disabled, taken) for found in find_local(local))]


def _judged(found: Found, disabled: Collection[str]) -> PluginInfo:
    if ALL in disabled:
        return PluginInfo(found, "disabled")
    if found.names & set(disabled):
        return PluginInfo(found, "disabled", fix=f"llmos plugins enable {found.name}")
    reinstall = f"Reinstall or remove it: llmos plugins uninstall {found.distribution}"
    if found.fault:
        return PluginInfo(found, "broken", "metadata", found.fault, reinstall)
    try:
        reason = misfit(found)
    except ValueError as error:
        return PluginInfo(found, "broken", "metadata", f"its range of llmos-core is none: {error}", reinstall)
    if reason:
        fix = f"Install a version that fits: llmos plugins install --upgrade {found.distribution}"
        return PluginInfo(found, "incompatible", "metadata", reason, fix)
    return PluginInfo(found)


def _judged_local(found: Found, disabled: Collection[str], taken: Collection[str]) -> PluginInfo:
    enable = f"llmos plugins enable {found.name}"
    if found.names & set(disabled) or ALL in disabled:
        return PluginInfo(found, "disabled", fix=enable)
    if reason := why_off(found):
        return PluginInfo(found, "disabled", error=reason, fix=f"Read {found.place}, then: {enable}")
    if found.name in taken:
        return PluginInfo(found, "conflict", "name", "an installed plugin has this name", "Rename the file.")
    return PluginInfo(found)


def _without_rivals(infos: Sequence[PluginInfo], chosen: Mapping[str, str]) -> list[PluginInfo]:
    """Of several that have one name, the chosen one; without a choice, none of them."""
    rivals: defaultdict[str, list[PluginInfo]] = defaultdict(list)
    for info in infos:
        if info.state == "ok":
            rivals[info.name].append(info)
    return [
        _beside(info, rivals[info.name], chosen.get(info.name, ""))
        if info.state == "ok" and len(rivals[info.name]) > 1
        else info
        for info in infos
    ]


def _beside(info: PluginInfo, rivals: Sequence[PluginInfo], choice: str) -> PluginInfo:
    others = ", ".join(rival.id for rival in rivals if rival is not info)
    chosen = [rival for rival in rivals if choice in (rival.id, rival.distribution)]
    if len(chosen) == 1:
        if chosen[0] is info:
            return info
        return replace(info, state="disabled", stage="name", error=f"{others} is chosen in the settings")
    fix = f'Disable one (llmos plugins disable {others}), or choose: [choose] plugins.{info.name} = "{info.id}"'
    return replace(info, state="conflict", stage="name", error=f"{others} has the same name", fix=fix)

"""Checks an installed plugin as it is, without a line of code from its author.

``python -m pytest --pyargs llmos_testkit.conformance.suite --llmos-plugin NAME`` loads that plugin and no other, and
makes a class of checks for whatever it contributes: ``Tool[Greet]``, ``Hooks[greeter]``, ``Plugin[greeter]``. What can
only be checked with a fact from its author (an input that may be run, a budget) is skipped, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llmos_core import AgentSpec, LLMOSError
from llmos_testkit.conformance.agents import AgentConformance
from llmos_testkit.conformance.backends import MemoryBackendConformance
from llmos_testkit.conformance.base import Conformance
from llmos_testkit.conformance.hooks import HooksConformance, run_time_hooks
from llmos_testkit.conformance.ledgers import LedgerConformance
from llmos_testkit.conformance.loading import Installed, contributed, find
from llmos_testkit.conformance.matchers import MatcherConformance
from llmos_testkit.conformance.models import ModelProviderConformance
from llmos_testkit.conformance.notes import NoteStoreConformance
from llmos_testkit.conformance.options import Chosen
from llmos_testkit.conformance.plugins import PluginConformance
from llmos_testkit.conformance.strategies import StrategyConformance
from llmos_testkit.conformance.tools import ToolConformance
from llmos_testkit.conformance.traces import TraceStoreConformance

Class = type[Conformance]

_KINDS: tuple[tuple[str, str, Class, str], ...] = (
    ("llmos_tools", "Tool", ToolConformance, "tool"),
    ("llmos_strategies", "Strategy", StrategyConformance, "strategy"),
    ("llmos_matchers", "Matcher", MatcherConformance, "matcher"),
    ("llmos_models", "ModelProvider", ModelProviderConformance, "provider"),
    ("llmos_ledgers", "Ledger", LedgerConformance, "ledger"),
    ("llmos_memory_backends", "MemoryBackend", MemoryBackendConformance, "backend"),
)


def classes_for(installed: Installed) -> Iterator[Class]:
    """The classes of checks for a plugin; if it cannot even be loaded, those of the plugin as a whole say why."""
    yield _class(
        PluginConformance, f"Plugin[{installed.name}]", plugin_name=f"{installed.distribution}/{installed.name}"
    )
    try:
        plugin = installed.load()
        made = list(_contributed(installed, plugin)) if plugin is not None else []
    except (Exception, SystemExit):  # noqa: BLE001 - test_it_loads fails with it
        return
    yield from made


def _contributed(installed: Installed, plugin: Any) -> Iterator[Class]:
    plugins = {installed.name: plugin}
    for hook, label, base, fixture in _KINDS:
        for name in [thing.name for thing in contributed(plugin, hook)]:
            fresh = _again(plugin, hook, name)
            yield _class(base, f"{label}[{name}]", plugins=plugins, **{fixture: _fixture(fresh)})
            if hook == "llmos_memory_backends":
                yield from _stores(name, fresh, plugins)
    for agent in contributed(plugin, "llmos_agents"):
        name = agent.name if isinstance(agent, AgentSpec) else Path(str(agent)).stem
        yield _class(AgentConformance, f"Agent[{name}]", plugins=plugins, agent=_fixture(partial(_same, agent)))
    if run_time_hooks(plugin):
        yield _class(HooksConformance, f"Hooks[{installed.name}]", plugin=_fixture(partial(_same, plugin)))


def _stores(name: str, backend: Callable[[], Any], plugins: dict[str, Any]) -> Iterator[Class]:
    """The stores that a memory backend makes."""
    kinds: list[tuple[str, str, Class]] = [("trace_store", "TraceStore", TraceStoreConformance)]
    if hasattr(backend(), "note_store"):
        kinds.append(("note_store", "NoteStore", NoteStoreConformance))
    for method, label, base in kinds:
        yield _class(base, f"{label}[{name}]", plugins=plugins, open_store=_opening(backend, method))


def _class(base: Class, name: str, **members: Any) -> Class:
    return type(name, (base,), {"__test__": True, "__module__": __name__, **members})


def _again(plugin: Any, hook: str, name: str) -> Callable[[], Any]:
    """Makes the contribution anew, so that no check sees what another left in it."""
    return lambda: next(thing for thing in contributed(plugin, hook) if thing.name == name)


def _same(thing: Any) -> Any:
    return thing


def _fixture(make: Callable[[], Any]) -> Any:
    def given(self: Any) -> Any:
        return make()

    return pytest.fixture(given)


def _opening(backend: Callable[[], Any], method: str) -> Any:
    def given(self: Any, place: Path) -> Any:
        return lambda: getattr(backend(), method)(place / "memories")

    return pytest.fixture(given)


def _asked_for() -> dict[str, Class]:
    if Chosen.plugin is None:
        raise pytest.Collector.CollectError("Say which plugin is to be checked: --llmos-plugin NAME")
    try:
        return {cls.__name__: cls for cls in classes_for(find(Chosen.plugin))}
    except LLMOSError as error:
        raise pytest.Collector.CollectError(str(error)) from error


globals().update(_asked_for())

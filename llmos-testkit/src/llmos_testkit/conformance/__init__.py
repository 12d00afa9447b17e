"""Conformance classes: subclass one, give the thing under test, and inherit the checks of its contract.

A check that cannot hold for a thing is overridden with a strict, reasoned xfail, and in no other way::

    class TestGreet(ToolConformance):
        example = {"name": "Ann"}

        @pytest.fixture
        def tool(self) -> Tool:
            return Greet()

        @pytest.mark.xfail(reason="It greets the world outside.", strict=True)
        async def test_effect_is_kept(self, tool: Tool, place: Path) -> None:
            await super().test_effect_is_kept(tool, place)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmos_testkit.conformance.agents import AgentConformance as AgentConformance
    from llmos_testkit.conformance.backends import MemoryBackendConformance as MemoryBackendConformance
    from llmos_testkit.conformance.base import Conformance as Conformance
    from llmos_testkit.conformance.hooks import HooksConformance as HooksConformance
    from llmos_testkit.conformance.ledgers import LedgerConformance as LedgerConformance
    from llmos_testkit.conformance.matchers import MatcherConformance as MatcherConformance
    from llmos_testkit.conformance.models import ModelProviderConformance as ModelProviderConformance
    from llmos_testkit.conformance.notes import NoteStoreConformance as NoteStoreConformance
    from llmos_testkit.conformance.plugins import PluginConformance as PluginConformance
    from llmos_testkit.conformance.strategies import StrategyConformance as StrategyConformance
    from llmos_testkit.conformance.tools import ToolConformance as ToolConformance
    from llmos_testkit.conformance.traces import TraceStoreConformance as TraceStoreConformance

_HOMES = {
    "AgentConformance": "agents",
    "Conformance": "base",
    "HooksConformance": "hooks",
    "LedgerConformance": "ledgers",
    "MatcherConformance": "matchers",
    "MemoryBackendConformance": "backends",
    "ModelProviderConformance": "models",
    "NoteStoreConformance": "notes",
    "PluginConformance": "plugins",
    "StrategyConformance": "strategies",
    "ToolConformance": "tools",
    "TraceStoreConformance": "traces",
}
"""The public names, by the module they live in. Each is imported on first use: every run of pytest loads this page."""

__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value

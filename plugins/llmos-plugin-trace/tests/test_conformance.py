"""The plugin, its strategy and its hook keep their contracts."""

from __future__ import annotations

import pytest

from llmos_core import Strategy
from llmos_plugin_trace import plugin
from llmos_plugin_trace.verifier import Verifier
from llmos_testkit.conformance import HooksConformance, PluginConformance, StrategyConformance


class TestPlugin(PluginConformance):
    plugin_name = "trace"


class TestVerifier(StrategyConformance):
    @pytest.fixture
    def strategy(self) -> Strategy:
        return Verifier()


class TestHooks(HooksConformance):
    @pytest.fixture
    def plugin(self) -> object:
        return plugin

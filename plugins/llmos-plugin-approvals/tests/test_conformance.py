"""The plugin and its hooks keep their contracts."""

from __future__ import annotations

import pytest

from llmos_plugin_approvals import plugin
from llmos_testkit.conformance import HooksConformance, PluginConformance


class TestPlugin(PluginConformance):
    plugin_name = "approvals"


class TestHooks(HooksConformance):
    @pytest.fixture
    def plugin(self) -> object:
        return plugin

"""What every plugin and every guard keeps."""

from __future__ import annotations

import pytest

from llmos_plugin_security import plugin as security
from llmos_testkit.conformance import HooksConformance, PluginConformance


class TestPlugin(PluginConformance):
    plugin_name = "security"


class TestHooks(HooksConformance):
    @pytest.fixture
    def plugin(self) -> object:
        return security

"""The distribution and its commands keep what every plugin keeps."""

from __future__ import annotations

from llmos_testkit.conformance import PluginConformance


class TestPlugin(PluginConformance):
    plugin_name = "llmos-plugin-history"

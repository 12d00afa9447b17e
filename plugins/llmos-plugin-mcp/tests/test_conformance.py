"""The plugin as a whole keeps what every plugin keeps; its tools are those of servers, named in the settings."""

from __future__ import annotations

from llmos_testkit.conformance import PluginConformance


class TestPlugin(PluginConformance):
    plugin_name = "mcp"

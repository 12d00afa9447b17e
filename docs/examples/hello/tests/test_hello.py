"""The plugin in a real system, in memory: no model, no network."""

import pytest
from llmos_core import Tool
from llmos_testkit import MakeSystem, call_tool
from llmos_testkit.conformance import ToolConformance

from llmos_plugin_hello import plugin


class TestGreet(ToolConformance):
    """What every tool must keep."""

    @pytest.fixture
    def tool(self) -> Tool:
        return plugin.Greet()


async def test_it_greets(llmos_system: MakeSystem) -> None:
    result = await call_tool(llmos_system(plugin), "Greet", {"who": "Ada"})
    assert result.output == "Hello, Ada!"


async def test_it_does_not_greet_nobody(llmos_system: MakeSystem) -> None:
    result = await call_tool(llmos_system(plugin), "Greet", {"who": "nobody"})
    assert result.is_error
    assert "There is nobody to greet." in result.output

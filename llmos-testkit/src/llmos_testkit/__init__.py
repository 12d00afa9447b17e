"""Tests for plugins of LLM OS.

Installed, it is a pytest plugin: its fixtures are there without an import (see :mod:`llmos_testkit.plugin`). These are
the names to import; each comes from its module on first use, so that a run of pytest which uses none pays for none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmos_testkit.clock import FakeClock as FakeClock
    from llmos_testkit.command_line import LlmosCli as LlmosCli
    from llmos_testkit.distributions import PluginDistribution as PluginDistribution
    from llmos_testkit.distributions import PluginDistributions as PluginDistributions
    from llmos_testkit.faults import Fault as Fault
    from llmos_testkit.messages import Reply as Reply
    from llmos_testkit.messages import api_error as api_error
    from llmos_testkit.messages import drop as drop
    from llmos_testkit.messages import hang as hang
    from llmos_testkit.messages import in_order as in_order
    from llmos_testkit.messages import scripted as scripted
    from llmos_testkit.messages import stall as stall
    from llmos_testkit.messages import text as text
    from llmos_testkit.messages import tool_use as tool_use
    from llmos_testkit.messages import turns as turns
    from llmos_testkit.messages import use as use
    from llmos_testkit.model_server import ModelServer as ModelServer
    from llmos_testkit.model_server import Received as Received
    from llmos_testkit.model_server import Response as Response
    from llmos_testkit.model_server import serving as serving
    from llmos_testkit.scripted_model import ScriptedModel as ScriptedModel
    from llmos_testkit.strategies import Script as Script
    from llmos_testkit.strategies import ask_model as ask_model
    from llmos_testkit.strategies import asks as asks
    from llmos_testkit.strategies import call_tool as call_tool
    from llmos_testkit.strategies import calls as calls
    from llmos_testkit.strategies import in_run as in_run
    from llmos_testkit.strategies import judge as judge
    from llmos_testkit.systems import MakeHost as MakeHost
    from llmos_testkit.systems import MakeSystem as MakeSystem
    from llmos_testkit.systems import make_plugin as make_plugin

_NAMES = {
    "clock": "FakeClock",
    "command_line": "LlmosCli",
    "distributions": "PluginDistribution PluginDistributions",
    "faults": "Fault",
    "messages": "Reply api_error drop hang in_order scripted stall text tool_use turns use",
    "model_server": "ModelServer Received Response serving",
    "scripted_model": "ScriptedModel",
    "strategies": "Script ask_model asks call_tool calls in_run judge",
    "systems": "MakeHost MakeSystem make_plugin",
}
"""The public names, by the module they live in."""

_HOMES = {name: f"llmos_testkit.{module}" for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value

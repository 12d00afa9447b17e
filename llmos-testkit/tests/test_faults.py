"""Each fault shows where and when it says, so that a host which lives with all of them is a good one."""

from __future__ import annotations

import pytest

from llmos_testkit import Fault, MakeHost, MakeSystem, PluginDistributions, call_tool, judge, make_plugin

from .parts import Echo

SOON = {"limits": {"plugin_timeout_s": 0.2, "guard_timeout_s": 0.2}}
GOOD = "from llmos_core import hookimpl\n@hookimpl\nasync def llmos_pre_tool_use(call): ...\n"


def named(fault: Fault) -> str:
    return fault.plugin


def test_there_are_faults_of_every_kind() -> None:
    assert len(Fault.shown("at load")) + len(Fault.shown("at a call")) + len(Fault.shown("by interrupt")) == len(Fault)
    assert len({fault.source for fault in Fault}) == len(Fault)
    assert {fault.stage for fault in Fault} >= {"metadata", "import", "register", "settings", "llmos_tools", None}


@pytest.mark.parametrize("fault", Fault.shown("at load"), ids=named)
def test_a_fault_at_load_is_listed_as_it_says(
    fault: Fault, llmos_host: MakeHost, plugin_distribution: PluginDistributions
) -> None:
    plugin_distribution("llmos-plugin-good", GOOD)
    fault.install(plugin_distribution)
    states = {info.name: info for info in llmos_host(discover=True, settings=SOON).plugins}
    bad = states[fault.plugin]
    assert (bad.state, bad.stage) == (fault.state, fault.stage), bad.error
    assert fault.error in (bad.error or "")
    assert states["good"].state == "ok"


@pytest.mark.parametrize("fault", Fault.shown("at a call"), ids=named)
async def test_a_guard_that_fails_denies(
    fault: Fault, llmos_system: MakeSystem, plugin_distribution: PluginDistributions
) -> None:
    fault.install(plugin_distribution)
    echo = Echo()
    system = llmos_system(make_plugin(tools=[echo]), discover=True, settings=SOON)
    [info] = [info for info in system.host.plugins if info.name == fault.plugin]
    assert (info.state, info.stage) == (fault.state, fault.stage)
    verdict = await judge(system, "Echo", {"text": "x"})
    assert verdict.decision == "deny"
    assert fault.error in verdict.reason
    assert (await call_tool(system, "Echo", {"text": "x"})).is_error
    assert echo.ran == []


@pytest.mark.parametrize("fault", Fault.shown("by interrupt"), ids=named)
def test_an_interrupt_passes(fault: Fault, llmos_host: MakeHost, plugin_distribution: PluginDistributions) -> None:
    fault.install(plugin_distribution)
    with pytest.raises(KeyboardInterrupt):
        llmos_host(discover=True)

"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmos_core import hookimpl

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmos_core import Check, Run, SettingsOf, Tool, ToolCall, Verdict


@hookimpl
def llmos_tools() -> Iterable[Tool]:
    from llmos_plugin_tools.bash import Bash
    from llmos_plugin_tools.edit import Edit
    from llmos_plugin_tools.glob import Glob
    from llmos_plugin_tools.grep import Grep
    from llmos_plugin_tools.read import Read
    from llmos_plugin_tools.write import Write

    return (Read(), Write(), Edit(), Bash(), Glob(), Grep())


@hookimpl
def llmos_settings() -> type[BaseModel]:
    from llmos_plugin_tools.settings import ToolsSettings

    return ToolsSettings


@hookimpl
def llmos_checks(settings: SettingsOf) -> Iterable[Check]:
    from llmos_plugin_tools.sandbox.check import check
    from llmos_plugin_tools.settings import ToolsSettings

    return [check(settings(ToolsSettings).sandbox)]


@hookimpl
async def llmos_pre_tool_use(call: ToolCall, run: Run) -> Verdict | None:
    if call.tool != "Bash":
        return None
    from llmos_plugin_tools.sandbox.guard import judge

    return await judge(run)

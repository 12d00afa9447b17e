"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmos_core import Verdict, hookimpl

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmos_core import Run, SettingsOf, Tool, ToolCall


@hookimpl
def llmos_tools(settings: SettingsOf) -> Iterable[Tool]:
    """The tools of the servers that the settings name, as they were when they were looked at."""
    from llmos_plugin_mcp.settings import McpSettings

    ours: McpSettings = settings(McpSettings)
    if not ours.servers:
        return ()
    from llmos_plugin_mcp.offer import offered_tools

    return offered_tools(ours)


@hookimpl
def llmos_settings() -> type[BaseModel]:
    """The table ``[plugins.mcp]``."""
    from llmos_plugin_mcp.settings import McpSettings

    return McpSettings


@hookimpl
async def llmos_pre_tool_use(call: ToolCall, run: Run) -> Verdict | None:
    """In a run that must reach no network, a person decides about servers: nothing is known of what they reach."""
    if not run.is_offline:
        return None
    from llmos_plugin_mcp.settings import McpSettings

    servers = run.settings(McpSettings).servers
    server = next((name for name in servers if call.tool.startswith(f"{name}__")), None)
    if server is None:
        return None
    return Verdict.ask(f"this run must reach no network, and the server {server} may", "mcp-offline")

"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llmos_core import hookimpl

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmos_core import SettingsOf, Tool


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

"""Hook implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmos_core import hookimpl

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmos_core import Run, ToolCall, Verdict


@hookimpl
async def llmos_pre_tool_use(call: ToolCall, run: Run) -> Verdict | None:
    from llmos_plugin_security.guard import verdict_of

    return await verdict_of(call, run)


@hookimpl
def llmos_settings() -> type[BaseModel]:
    from llmos_plugin_security.settings import SecuritySettings

    return SecuritySettings

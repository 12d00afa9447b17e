"""Bash asks where no sandbox works, unless the user's settings accept that."""

from __future__ import annotations

from llmos_core import Run, Verdict
from llmos_plugin_tools import sandbox
from llmos_plugin_tools.settings import ToolsSettings

RULE = "no-sandbox"
_FIX = 'accept it for good with [plugins.tools.sandbox] kind = "none" in your own settings'


async def judge(run: Run) -> Verdict | None:
    """None where commands are confined, or need not be. Raises OSError, which denies."""
    if run.settings(ToolsSettings).sandbox.kind == "none":
        return None
    if not sandbox.IS_LINUX:
        return Verdict.ask(f"no sandbox works here (they need Linux), so commands can do what you can do; {_FIX}", RULE)
    from llmos_plugin_tools.sandbox.service import sandbox_of

    choice = (await sandbox_of(run)).choice
    if choice.kind is not None:
        return None
    return Verdict.ask(f"no sandbox works here ({choice.why}), so commands can do what you can do; {_FIX}", RULE)

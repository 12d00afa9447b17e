"""Bash asks where no sandbox works, unless the user's settings accept that; to be without network it needs one."""

from __future__ import annotations

from llmos_core import Run, Verdict
from llmos_plugin_tools import sandbox
from llmos_plugin_tools.settings import ToolsSettings

RULE = "no-sandbox"
OFFLINE_RULE = "offline"
NETWORK_RULE = "no-network"

NOT_OFFLINE = "This run must not reach a network, and no sandbox keeps its commands off it."
NO_NETWORK = "[the sandbox has no network]"
"""For whoever wonders why a command failed."""

FIX_NETWORK = "Take network = false out of [plugins.tools.sandbox] to be asked about each command"
_FIX = 'accept it for good with [plugins.tools.sandbox] kind = "none" in your own settings'


async def judge(run: Run) -> Verdict | None:
    """None where commands are confined, or need not be. Raises OSError, which denies."""
    settings = run.settings(ToolsSettings).sandbox
    if settings.kind == "none":
        fix = 'kind = "none" in [plugins.tools.sandbox] of your settings switches it off; take that out'
        return Verdict.deny(f"{NOT_OFFLINE} {fix}", OFFLINE_RULE) if run.is_offline else None
    why = await _why_none(run)
    if why is None:
        return None
    if run.is_offline:
        fix = f"None works here ({why}); on Linux with Landlock or bubblewrap one does"
        return Verdict.deny(f"{NOT_OFFLINE} {fix}", OFFLINE_RULE)
    if not settings.network:
        what = "Your settings keep commands off the network, which needs a sandbox"
        return Verdict.deny(f"{what}; none works here ({why}). {FIX_NETWORK}", NETWORK_RULE)
    return Verdict.ask(f"no sandbox works here ({why}), so commands can do what you can do; {_FIX}", RULE)


async def _why_none(run: Run) -> str | None:
    """Why no sandbox works here; None if one does."""
    if not sandbox.IS_LINUX:
        return "they need Linux"
    from llmos_plugin_tools.sandbox.service import sandbox_of

    choice = (await sandbox_of(run)).choice
    return choice.why if choice.kind is None else None

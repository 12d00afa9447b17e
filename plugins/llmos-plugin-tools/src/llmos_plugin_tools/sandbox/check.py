"""What ``doctor`` says of the sandbox."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import anyio
from anyio import to_thread

from llmos_core import Check
from llmos_plugin_tools import sandbox
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.sandbox.guard import FIX_NETWORK
from llmos_plugin_tools.sandbox.probe import Choice
from llmos_plugin_tools.settings import SandboxSettings

PATIENCE_S = 8.0
"""How long the sandbox may take to be tried out."""

_NAME = "sandbox"
_TABLE = "[plugins.tools.sandbox]"
_NO_WORKSPACE = Path("/no-workspace")
_INSTALL = "On Linux install bubblewrap (apt install bubblewrap), with user namespaces switched on"
_ACCEPT = 'or accept it for good: [plugins.tools.sandbox] kind = "none"'


def check(settings: SandboxSettings) -> Check:
    """Try out which sandbox commands get here, and say it. Nothing of the trial stays."""
    try:
        choice = anyio.run(_tried, settings) if sandbox.IS_LINUX else Choice(None, "they need Linux")
    except Refused as error:
        return Check.error(_NAME, str(error), f"Take it out of write in {_TABLE}")
    except TimeoutError:
        detail = f"it did not answer within {PATIENCE_S:g} s"
        return Check.warning(_NAME, detail, "Try again when the machine has less to do")
    except OSError as error:
        detail = f"it cannot be started, so Bash is refused ({error.strerror or error})"
        return Check.warning(
            _NAME, detail, f"See that {tempfile.gettempdir()} can be written, and processes be started"
        )
    if choice.kind == "none":
        detail = "off, by the settings: a command can do what you can do"
        return Check.warning(_NAME, detail, 'Take kind = "none" out of [plugins.tools.sandbox]')
    if choice.kind is None and not settings.network:
        detail = f"none works here, and network = false needs one, so Bash is refused ({choice.why})"
        return Check.error(_NAME, detail, f"{_INSTALL}. {FIX_NETWORK}")
    if choice.kind is None:
        return Check.warning(_NAME, f"none works here, so Bash asks ({choice.why})", f"{_INSTALL}; {_ACCEPT}")
    found = "; ".join((choice.kind, f"network {'on' if settings.network else 'off'}", *choice.gaps))
    if missing := list(_missing((*settings.read, *settings.write))):
        detail = f"{found}; of the places in {_TABLE} these are not there: {', '.join(missing)}"
        return Check.warning(_NAME, detail, "Correct them, or take them out; what is not there is not opened")
    return Check.ok(_NAME, found)


def _missing(places: Iterable[str]) -> Iterable[str]:
    return (place for place in places if not os.path.exists(os.path.expanduser(place)))  # noqa: PTH110, PTH111


async def _tried(settings: SandboxSettings) -> Choice:
    """Raises Refused if the settings open to writing what rules the agent, wherever it works."""
    from llmos_plugin_tools.sandbox.policy import Policy
    from llmos_plugin_tools.sandbox.service import opened

    with anyio.fail_after(PATIENCE_S):
        async with opened(settings) as confined:
            if confined.choice.kind not in (None, "none"):
                policy = Policy(settings, confined.own)
                await to_thread.run_sync(policy.bounds, confined.own / "tmp", _NO_WORKSPACE)
            return confined.choice

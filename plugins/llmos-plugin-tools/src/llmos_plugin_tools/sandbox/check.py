"""What ``doctor`` says of the sandbox."""

from __future__ import annotations

import tempfile

import anyio

from llmos_core import Check
from llmos_plugin_tools import sandbox
from llmos_plugin_tools.sandbox.probe import Choice
from llmos_plugin_tools.settings import SandboxSettings

PATIENCE_S = 8.0
"""How long the sandbox may take to be tried out."""

_NAME = "sandbox"
_INSTALL = "On Linux install bubblewrap (apt install bubblewrap), with user namespaces switched on"
_ACCEPT = 'or accept it for good: [plugins.tools.sandbox] kind = "none"'


def check(settings: SandboxSettings) -> Check:
    """Try out which sandbox commands get here, and say it. Nothing of the trial stays."""
    try:
        choice = anyio.run(_chosen, settings) if sandbox.IS_LINUX else Choice(None, "they need Linux")
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
    if choice.kind is None:
        return Check.warning(_NAME, f"none works here, so Bash asks ({choice.why})", f"{_INSTALL}; {_ACCEPT}")
    return Check.ok(_NAME, "; ".join((choice.kind, f"network {'on' if settings.network else 'off'}", *choice.gaps)))


async def _chosen(settings: SandboxSettings) -> Choice:
    from llmos_plugin_tools.sandbox.service import opened

    with anyio.fail_after(PATIENCE_S):
        async with opened(settings) as confined:
            return confined.choice

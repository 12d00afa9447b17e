"""``llmos plugins``: what is installed, and what to do with it. Only checking imports a plugin."""

from __future__ import annotations

import click

from llmos_core.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("llmos_core.cli.plugins.list:list_", "List all plugins, their states, and what they bring."),
    "show": ("llmos_core.cli.plugins.list:show", "Show all that is known of one plugin."),
    "check": ("llmos_core.cli.plugins.check:check", "Load plugins, and say what is wrong with them."),
    "doctor": ("llmos_core.cli.plugins.check:doctor", "Show only what is wrong with plugins, and what to do."),
    "enable": ("llmos_core.cli.plugins.switch:enable", "Switch a plugin on."),
    "disable": ("llmos_core.cli.plugins.switch:disable", "Switch a plugin off: nothing of it is loaded any more."),
}


ELSEWHERE = {**dict.fromkeys(("install", "uninstall", "sync"), "llmos-plugin-installer"), "new": "llmos-testkit[new]"}


@click.group(cls=LazyGroup.of(COMMANDS, "plugins.", ELSEWHERE))
def plugins() -> None:
    """Installed plugins: find out about them, switch them on and off, install and remove them.

    \b
    Examples:
      llmos plugins list
      llmos plugins install llmos-plugin-hello
      llmos plugins disable hello
      llmos plugins check
    """

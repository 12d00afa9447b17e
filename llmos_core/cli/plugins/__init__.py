"""``llmos plugins``: what is installed, and what to do with it. Only checking imports a plugin."""

from __future__ import annotations

import click

from llmos_core.cli.lazy import LazyGroup
from llmos_core.errors import PluginError

COMMANDS = {
    "list": ("llmos_core.cli.plugins.list:list_", "List all plugins, their states, and what they bring."),
    "show": ("llmos_core.cli.plugins.list:show", "Show all that is known of one plugin."),
    "check": ("llmos_core.cli.plugins.check:check", "Load plugins, and say what is wrong with them."),
    "enable": ("llmos_core.cli.plugins.switch:enable", "Switch a plugin on."),
    "disable": ("llmos_core.cli.plugins.switch:disable", "Switch a plugin off: nothing of it is loaded any more."),
    "install": ("llmos_core.cli.plugins.install:install", "Install plugins into this environment, and record them."),
    "uninstall": ("llmos_core.cli.plugins.install:uninstall", "Remove plugins from this environment."),
    "sync": ("llmos_core.cli.plugins.sync:sync", "Install what the workspace's record names and is missing."),
}


class _Plugins(LazyGroup.of(COMMANDS, "plugins.")):  # type: ignore[misc]
    """The group; ``new`` comes with the test kit."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command: click.Command | None = super().get_command(ctx, cmd_name)
        if command is None and cmd_name == "new" and not ctx.resilient_parsing:
            fix = 'Install it: pip install "llmos-testkit[new]"'
            raise PluginError("The command `plugins new` is not installed.", "It comes with the test kit.", fix)
        return command


@click.group(cls=_Plugins)
def plugins() -> None:
    """Installed plugins: find out about them, switch them on and off, install and remove them.

    \b
    Examples:
      llmos plugins list
      llmos plugins install llmos-plugin-hello
      llmos plugins disable hello
      llmos plugins check
    """

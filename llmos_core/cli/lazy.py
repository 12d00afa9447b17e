"""Groups that find their commands without importing them: in a table, and among the entry points of plugins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.shell_completion import CompletionItem

from llmos_core.cli.output import printable
from llmos_core.errors import PluginError

if TYPE_CHECKING:
    from llmos_core.host.discovery import Found

Commands = Mapping[str, tuple[str, str]]
"""What a command is called: where it lies (``module:attribute``), and what it is for."""


class LazyGroup(click.Group):
    """A group whose help comes from a table and from distributions' metadata: no command is imported for it.

    Plugins add to it by entry points in the group ``llmos.commands`` whose names begin with ``prefix``.
    """

    table: ClassVar[Commands] = {}
    prefix: ClassVar[str] = ""
    elsewhere: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def of(
        cls, table: Commands, prefix: str = "", elsewhere: Mapping[str, str] = MappingProxyType({})
    ) -> type[LazyGroup]:
        """The class of a group with these commands; ``elsewhere`` names the distributions that bring others."""
        return type(cls.__name__, (cls,), {"table": table, "prefix": prefix, "elsewhere": elsewhere})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.table, *sorted(self._of_plugins())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.table:
            return _load(self.table[cmd_name][0])
        installed = any(name == cmd_name for name, _ in self._installed())
        offers = self._of_plugins(lenient=ctx.resilient_parsing or not installed).get(cmd_name, [])
        if not offers:
            self._explain(ctx, cmd_name)
            return None
        try:
            return _load(_only(self.prefix + cmd_name, offers).value)
        except (Exception, SystemExit) as error:
            if ctx.resilient_parsing:
                return click.Command(cmd_name)  # the shell completes: what is broken is told when it is called
            if isinstance(error, PluginError):
                raise
            found = offers[0]
            what = f"The command {cmd_name} of {found.distribution} cannot be loaded."
            fix = f"Upgrade or uninstall {found.distribution}."
            raise PluginError(what, f"{type(error).__name__}: {error}", fix) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        rows = [*self._ours(), *self._theirs()]
        commands = [CompletionItem(name, help=summary) for name, summary in rows if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._ours())
        if theirs := self._theirs():
            with formatter.section("Commands of plugins"):
                formatter.write_dl(theirs)

    def _ours(self) -> list[tuple[str, str]]:
        return [(name, summary) for name, (_, summary) in self.table.items()]

    def _theirs(self) -> list[tuple[str, str]]:
        offers = sorted(self._of_plugins().items())
        return [(printable(name), printable(found.command_summary)) for name, (found, *_) in offers]

    def _of_plugins(self, lenient: bool = True) -> dict[str, list[Found]]:
        """The commands of plugins that may be used. None of them can take the place of one of ours.

        Raises SettingsError, unless lenient, where nobody can tell which are disabled.
        """
        offers: defaultdict[str, list[Found]] = defaultdict(list)
        off = _disabled(lenient)
        for name, found in self._installed():
            if _hindrance(found, off) is None:
                offers[name].append(found)
        return offers

    def _installed(self) -> Iterator[tuple[str, Found]]:
        from llmos_core.host.discovery import COMMAND_GROUP, find

        for found in find(COMMAND_GROUP):
            name = found.name.removeprefix(self.prefix)
            if found.name.startswith(self.prefix) and "." not in name and name not in self.table:
                yield name, found

    def _explain(self, ctx: click.Context, cmd_name: str) -> None:
        """Raises PluginError for a command that is installed and may not be used, or that a known plugin brings."""
        if ctx.resilient_parsing:
            return
        off = _disabled()
        for name, found in self._installed():
            if name == cmd_name and (why := _hindrance(found, off)):
                raise PluginError(f"The command {cmd_name} cannot be used.", f"{found.distribution} {why[0]}.", why[1])
        if cmd_name in self.elsewhere:
            fix = f'Install it: pip install "{self.elsewhere[cmd_name]}"'
            raise PluginError(f"The command {cmd_name} is not installed.", "A plugin brings it.", fix)


def _hindrance(found: Found, off: Collection[str]) -> tuple[str, str] | None:
    """Why a command may not be used, and what to do; None if it may. ``--no-plugins`` leaves commands alone."""
    from llmos_core.host.discovery import misfit

    if found.names & set(off):
        return "is disabled", f"llmos plugins enable {found.distribution}"
    if found.fault:
        return f"is broken: {found.fault}", f"llmos plugins uninstall {found.distribution}"
    try:
        odd = misfit(found)
    except ValueError as error:
        odd = str(error)
    return (f"is incompatible: {odd}", f"Install another version of {found.distribution}.") if odd else None


def _only(name: str, offers: Sequence[Found]) -> Found:
    """The one that counts of those that have a name."""
    if len(offers) == 1:
        return offers[0]
    from llmos_core.host.settings_file import choices

    choice = choices().get("commands", {}).get(name)
    chosen = [offer for offer in offers if offer.distribution == choice]
    if len(chosen) == 1:
        return chosen[0]
    homes = " and ".join(offer.distribution for offer in offers)
    fix = f'Disable one, or choose in your settings: [choose] commands.{name} = "{offers[0].distribution}"'
    raise PluginError(f"There is more than one command {name}.", f"It comes with {homes}.", fix)


def _disabled(lenient: bool = True) -> set[str]:
    from llmos_core.errors import SettingsError
    from llmos_core.host.settings_file import disabled_names

    try:
        return disabled_names()
    except SettingsError:
        if lenient:
            return set()  # the help must show; what needs the settings tells what is wrong with them
        raise


def _load(target: str) -> click.Command:
    module, _, attribute = target.partition(":")
    command: Any = import_module(module)
    for name in attribute.split("."):
        command = getattr(command, name)
    if not isinstance(command, click.Command):
        raise TypeError(f"{target} is no command of click")
    return command

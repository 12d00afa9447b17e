"""``llmos mcp``: the servers of the settings, their tools, and looking at them anew."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from llmos_core.commands import json_option, one_line, print_json, print_table, printable

if TYPE_CHECKING:
    from llmos_plugin_mcp.kept import Listing
    from llmos_plugin_mcp.offer import Offer
    from llmos_plugin_mcp.settings import McpSettings, Server


def _complete_servers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        return [CompletionItem(name) for name in _settings().servers if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - the command itself tells what is wrong; a shell that completes must not
        return []


@click.group()
def mcp() -> None:
    """MCP servers: list them, their tools, and what changed.

    \b
    Examples:
      llmos mcp list
      llmos mcp tools time
      llmos mcp refresh time
    """


@mcp.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the MCP servers of the settings. Starts none.

    \b
    Examples:
      llmos mcp list
      llmos mcp list --json
    """
    from llmos_core import user_file

    servers = [_about(name, server) for name, server in _settings().servers.items()]
    if as_json:
        print_json(servers)
        return
    rows = [
        (about["name"], about["state"], "" if about["tools"] is None else str(about["tools"]), printable(place))
        for about in servers
        if (place := about["command"] or about["url"])
    ]
    empty = f"There are no MCP servers. Name one in {user_file()}: [plugins.mcp.servers.NAME]"
    print_table(("server", "state", "tools", "command or url"), rows, empty)
    for about in servers:
        if about["error"]:
            _warn(about["error"])


@mcp.command()
@click.argument("server", required=False, shell_complete=_complete_servers)
@json_option
def tools(server: str | None, as_json: bool) -> None:
    """List the tools of the MCP servers, or of SERVER.

    They are shown as they are kept: as they were when you last looked at them. A server that was never looked at is
    started for it. What a server says of its own tools is a claim; their effect is what your settings say.

    \b
    Examples:
      llmos mcp tools
      llmos mcp tools time --json
    """
    from llmos_plugin_mcp.offer import known_listings, offers_of

    chosen = _chosen(_settings(), server)
    listings, faults = known_listings(chosen)
    offers = offers_of(chosen, listings)
    for fault in (*faults, *offers.faults):
        _warn(fault)
    if as_json:
        print_json([_tool(offer, listings[offer.server]) for offer in offers.tools])
    else:
        rows = [(o.name, _effect(o), o.definition.claims, o.definition.description) for o in offers.tools]
        print_table(("tool", "effect", "the server claims", "description"), rows, "There are no tools.")
    if faults:
        raise click.exceptions.Exit(1)


@mcp.command()
@click.argument("name", required=False, shell_complete=_complete_servers)
@click.option("--yes", is_flag=True, help="Keep what the servers offer now, without a question.")
def refresh(name: str | None, yes: bool) -> None:
    """Look at the MCP servers, or at NAME, anew: show what changed, and keep it after a yes.

    \b
    Examples:
      llmos mcp refresh time
      llmos mcp refresh --yes
    """
    from llmos_core import LLMOSError
    from llmos_plugin_mcp.kept import Listing
    from llmos_plugin_mcp.look import look_at

    chosen = _chosen(_settings(), name)
    failed = []
    for server, look in sorted(look_at(chosen).items()):
        if isinstance(look, Listing):
            _compare(server, chosen[server], look, yes)
        else:
            failed.append(look)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        why = " ".join(" ".join((error.what, error.why)) for error in failed)
        raise LLMOSError(f"{len(failed)} MCP servers cannot be used.", " ".join(why.split()), failed[0].fix)


def _compare(name: str, server: Server, now: Listing, yes: bool) -> None:
    from llmos_core import LLMOSError
    from llmos_plugin_mcp import kept

    try:
        before = kept.load(name, server)
    except LLMOSError as error:
        _warn(" ".join(str(error).split()))
        before = None
    changes = kept.changes(before, now)
    for tool, diff in changes.items():
        click.echo(f"{name}: {printable(tool)}")
        click.echo(printable(diff))
    if changes and not yes:
        _ask(name, len(changes))
    kept.save(name, server, now)
    told = f"{len(changes)} changed" if before else "seen for the first time"
    click.echo(f"{name}: {len(now.tools)} tools kept ({told if changes or not before else 'nothing changed'}).")


def _ask(name: str, changes: int) -> None:
    from llmos_core import ExitCode, LLMOSError

    class NotAccepted(LLMOSError):
        exit_code = ExitCode.APPROVAL

    if not sys.stdin.isatty():
        what = f"{changes} tools of {name} changed, and nobody can be asked."
        raise NotAccepted(what, "What was kept stays.", f"Accept them with: llmos mcp refresh {name} --yes")
    if not click.confirm(f"Keep these {changes} changes of {name}?"):
        raise NotAccepted(f"The changes of {name} were not accepted.", "What was kept stays.")


def _settings() -> McpSettings:
    """The settings of this plugin, judged as a system judges them. Raises SettingsError."""
    from llmos_core import load_settings, plugin_settings
    from llmos_plugin_mcp.settings import McpSettings

    return plugin_settings(McpSettings, "mcp", load_settings())


def _chosen(settings: McpSettings, name: str | None) -> dict[str, Server]:
    from llmos_core import UsageError

    if name is None:
        return settings.servers
    if name not in settings.servers:
        known = ", ".join(settings.servers) or "none"
        raise UsageError(f"There is no MCP server {name}.", f"There are: {known}.", "See them with: llmos mcp list")
    return {name: settings.servers[name]}


def _about(name: str, server: Server) -> dict[str, Any]:
    from llmos_core import LLMOSError
    from llmos_plugin_mcp import kept

    listing, error = None, kept.recent_failure(name, server)
    try:
        listing = kept.load(name, server)
    except LLMOSError as fault:
        error = fault
    return {
        "name": name,
        "state": "kept" if listing else "failed" if error else "not looked at",
        "tools": len(listing.tools) if listing else None,
        "about": listing.about if listing else None,
        "listed_at": listing.listed_at.isoformat() if listing else None,
        "command": server.place if server.command else None,
        "url": server.place if server.url else None,
        "error": " ".join(str(error).split()) if error and not listing else None,
    }


def _tool(offer: Offer, listing: Listing) -> dict[str, Any]:
    definition = offer.definition
    return {
        "name": offer.name,
        "server": offer.server,
        "tool": definition.name,
        "effect": offer.effect,
        "repeatable": offer.repeatable,
        "description": definition.description,
        "annotations": definition.annotations,
        "input_schema": definition.input_schema,
        "listed_at": listing.listed_at.isoformat(),
    }


def _effect(offer: Offer) -> str:
    return f"{offer.effect}, repeatable" if offer.repeatable else offer.effect


def _warn(text: str) -> None:
    click.echo(f"Warning: {one_line(text, 2_000)}", err=True)

"""Which tools the servers of the settings give to the kernel, under which names, with which effect."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from llmos_core import Effect, LLMOSError
from llmos_plugin_mcp import kept
from llmos_plugin_mcp.kept import Definition, Listing
from llmos_plugin_mcp.settings import McpSettings, Server
from llmos_plugin_mcp.tool import ServerTool

LONGEST_NAME = 52
"""The Messages API takes 64 characters; the CLI puts ``mcp__llmos__`` before a name."""

FIRST_LOOK_S = 6.0
"""How long a system that starts waits for servers that it sees for the first time.

The host gives a plugin ten seconds; what is left of them is for ending servers that hang.
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool as the kernel knows it."""

    name: str
    server: str
    definition: Definition
    effect: Effect
    repeatable: bool


@dataclass(slots=True)
class Offers:
    """The tools that can be offered, and in words why others cannot."""

    tools: list[Offer] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def offered_tools(settings: McpSettings) -> Sequence[ServerTool]:
    """The tools of the servers as they are kept. What was never looked at is looked at now.

    What cannot be used is warned of, which the host tells the user, and harms nothing else.
    """
    listings, faults = known_listings(settings.servers, FIRST_LOOK_S)
    offers = offers_of(settings.servers, listings)
    for fault in (*faults, *offers.faults):
        warnings.warn(fault, stacklevel=2)
    limit = settings.max_output_chars
    return [
        ServerTool(
            offer.name,
            offer.server,
            settings.servers[offer.server],
            offer.definition,
            offer.effect,
            repeatable=offer.repeatable,
            max_output_chars=limit,
        )
        for offer in offers.tools
    ]


def known_listings(
    servers: Mapping[str, Server], timeout_s: float | None = None
) -> tuple[dict[str, Listing], list[str]]:
    """What is kept of each server; those never looked at are started, listed and kept. And what failed, in words."""
    listings: dict[str, Listing] = {}
    faults: list[str] = []
    unseen: dict[str, Server] = {}
    for name, server in servers.items():
        try:
            listing = kept.load(name, server)
        except LLMOSError as error:
            faults.append(_words(error))
            continue
        if listing is not None:
            listings[name] = listing
        elif timeout_s is not None and (failure := kept.recent_failure(name, server)) is not None:
            faults.append(_words(failure))
        else:
            unseen[name] = server
    if unseen:
        faults += _first_look(unseen, timeout_s, listings)
    return listings, faults


def _first_look(servers: Mapping[str, Server], timeout_s: float | None, listings: dict[str, Listing]) -> Iterator[str]:
    from llmos_plugin_mcp.look import look_at

    for name, look in look_at(servers, timeout_s).items():
        try:
            if isinstance(look, Listing):
                listings[name] = look
                kept.save(name, servers[name], look)
            else:
                yield _words(look)
                kept.failed(name, servers[name], look)
        except OSError as error:
            yield f"What was seen of the MCP server {name} cannot be kept: {error}. It will be asked again."


def offers_of(servers: Mapping[str, Server], listings: Mapping[str, Listing]) -> Offers:
    """The tools under their names in the kernel. Two that would have one name are both left out."""
    offers = Offers()
    by_name: defaultdict[str, list[Offer]] = defaultdict(list)
    for server, listing in listings.items():
        chosen = servers[server]
        offers.faults += _misspelt(server, chosen, listing)
        for definition in listing.tools:
            if chosen.tools is None or definition.name in chosen.tools:
                offer = _offer(server, chosen, definition)
                by_name[offer.name].append(offer)
        wanted = listing.refused if chosen.tools is None else set(chosen.tools) & set(listing.refused)
        offers.faults += [f"The MCP tool {name} of {server} is left out: {listing.refused[name]}." for name in wanted]
    for name, same in by_name.items():
        if len(same) == 1:
            offers.tools += same
        else:
            both = " and ".join(f"{offer.definition.name} of {offer.server}" for offer in same)
            offers.faults.append(f"The MCP tools {both} would both be {name}: neither is offered.")
    return offers


def _offer(name: str, server: Server, definition: Definition) -> Offer:
    believed = server.trust_annotations and definition.annotations.get("readOnlyHint") is True
    pure = definition.name in server.pure or (believed and definition.name not in server.repeatable)
    repeatable = definition.name in server.repeatable
    return Offer(kernel_name(name, definition.name), name, definition, "pure" if pure else "external", repeatable)


def kernel_name(server: str, tool: str) -> str:
    """``SERVER__tool``, in the characters and the length that the Messages API takes."""
    name = f"{server}__{re.sub(r'[^A-Za-z0-9_-]', '_', tool)}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(tool.encode()).hexdigest()[:8]}"


def _misspelt(name: str, server: Server, listing: Listing) -> Iterator[str]:
    known = {definition.name for definition in listing.tools} | set(listing.refused)
    for key, names in (("tools", server.tools or ()), ("pure", server.pure), ("repeatable", server.repeatable)):
        if unknown := [tool for tool in names if tool not in known]:
            there = ", ".join(sorted(known)) or "none"
            yield (
                f"plugins.mcp.servers.{name}.{key} names what the server has not: {', '.join(unknown)}. "
                f"There are: {there}."
            )


def _words(error: LLMOSError) -> str:
    return " ".join(str(error).split())

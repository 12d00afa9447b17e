"""Looking at servers outside of any run: each is started, listed and ended, all at once."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from importlib import import_module

import anyio
from anyio import to_thread
from anyio.from_thread import start_blocking_portal

from llmos_core import LLMOSError
from llmos_plugin_mcp.kept import Listing
from llmos_plugin_mcp.settings import Server

Looks = dict[str, "Listing | LLMOSError"]


def look_at(servers: Mapping[str, Server], timeout_s: float | None = None) -> Looks:
    """What each server offers now, or why it cannot be listed. ``timeout_s`` shortens the patience with all of them.

    Blocks. The servers are spoken to in a thread with an event loop of its own, whether there is one here or not; if
    this is interrupted, they are ended first.
    """
    until = math.inf if timeout_s is None else time.monotonic() + timeout_s
    with start_blocking_portal() as portal:
        return portal.call(_look_at_all, servers, until)


async def _look_at_all(servers: Mapping[str, Server], until: float) -> Looks:
    await to_thread.run_sync(import_module, "llmos_plugin_mcp.client")
    looks: Looks = {}
    async with anyio.create_task_group() as tasks:
        for name, server in servers.items():
            patience = min(server.timeout_s, max(0.1, round(until - time.monotonic(), 1)))
            tasks.start_soon(_look, name, server.model_copy(update={"timeout_s": patience}), looks)
    return looks


async def _look(name: str, server: Server, looks: Looks) -> None:
    from llmos_plugin_mcp.client import connected

    with tempfile.TemporaryFile() as log:
        try:
            async with connected(name, server, log) as connection:
                looks[name] = connection.listing
        except LLMOSError as error:
            looks.setdefault(name, error)

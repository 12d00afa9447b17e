"""Speaking to a server. This module imports ``mcp``, which is heavy: only what talks to a server imports it."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import IO, Any

import anyio
from anyio import to_thread
from httpx2 import AsyncClient, Timeout
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CONNECTION_CLOSED, METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION, CallToolResult, Tool
from pydantic import ValidationError

from llmos_core import LLMOSError
from llmos_plugin_mcp.kept import Definition, Listing, what_changed
from llmos_plugin_mcp.schema import why_unusable
from llmos_plugin_mcp.settings import Server, environment, headers, secrets
from llmos_plugin_mcp.stdio import GOES_S, ServerProcess, started

_MOST_TOOLS = 1_000
_LONGEST_DESCRIPTION = 20_000
_READ_BYTES = 1 << 20
_TAIL_CHARS = 4_096
_TAIL_LINES = 5
_CLOSED = "Connection closed"
"""What the ``mcp`` package says of a connection that ended; what else has its code, a server said."""

for _name in ("client", "mcp"):  # what these loggers tell becomes our errors; on a terminal it would be told twice
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Connection:
    """A server that is ready. ``listing`` is what it offers now.

    ``broken`` is set when it cannot be spoken to any more, ``gone`` when nothing is left of it: then it can be started
    anew. ``ending`` tells how a process ended.
    """

    def __init__(
        self, name: str, server: Server, client: Client, log: IO[bytes], process: ServerProcess | None = None
    ) -> None:
        self._name = name
        self._server = server
        self._client = client
        self._log = log
        self._process = process
        self._secrets = secrets(server, os.environ)
        self._ending = "The connection to it was lost."
        self.broken = process.ended if process else anyio.Event()
        self.gone = anyio.Event()
        self.listing = Listing(server=name, listed_at=datetime.now(UTC), tools=())

    async def until_broken(self) -> None:
        """Returns never; raises LLMOSError when the server cannot be spoken to any more."""
        try:
            await self.broken.wait()
        finally:
            self.broken.set()  # a transport that fails cancels this, before any call hears of it
        if self._process is not None:
            code = await self._process.exit_code()
            told = "It closed its output." if code is None else f"It ended with the exit code {code}."
            self._ending = _with_last_words(told, self._log, self._secrets)
        raise LLMOSError(f"The MCP server {self._name} is gone.", self._ending)

    def check(self, kept: Definition) -> None:
        """Raises LLMOSError unless the server defines the tool as it did when it was looked at."""
        now = next((tool for tool in self.listing.tools if tool.name == kept.name), None)
        changed = what_changed(kept, now) if now else ""
        if now is not None and not changed:
            return
        why = f"Its {changed} changed since you looked at it." if now else "The server offers it no more."
        raise LLMOSError(
            f"The tool {kept.name} of the MCP server {self._name} was not called.",
            why,
            f"See what changed, and accept it or not: llmos mcp refresh {self._name}",
        )

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """What a call gave. Raises LLMOSError where the server fails, ends or is too slow."""
        try:
            with anyio.fail_after(self._server.timeout_s):
                return await self._client.call_tool(tool, dict(arguments))
        except TimeoutError as error:
            raise self._failed(tool, f"It gave no answer within {self._server.timeout_s:g} s.") from error
        except (MCPError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            # The code of a closed connection is no proof of one: servers use it for errors of their own.
            if not isinstance(error, MCPError) or self.broken.is_set():
                self.broken.set()
                await self.gone.wait()
                raise self._failed(tool, self._ending) from error
            raise self._failed(tool, f"It answered: {error}") from error
        except (RuntimeError, ValidationError) as error:
            raise self._failed(tool, f"Its answer cannot be used: {_words(error)}") from error

    def redacted(self, text: str) -> str:
        """The text without the secrets of the settings."""
        return _without(text, self._secrets)

    def _failed(self, tool: str, why: str) -> LLMOSError:
        return LLMOSError(f"The MCP server {self._name} failed at {tool}.", _short(self.redacted(why)))

    async def list_tools(self) -> None:
        """Ask what the server offers now."""
        tools: list[Tool] = []
        cursor = None
        while True:
            page = await self._client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if len(tools) > _MOST_TOOLS:
                raise LLMOSError(f"The MCP server {self._name} has more than {_MOST_TOOLS} tools.")
            if cursor is None:
                break
        if self._process is not None:
            self._process.patience_s = GOES_S
        info = self._client.server_info
        self.listing = await to_thread.run_sync(
            _listing, self._name, f"{info.name} {info.version}".strip() if info else "", tools, self.redacted
        )


@asynccontextmanager
async def connected(name: str, server: Server, log: IO[bytes]) -> AsyncIterator[Connection]:
    """A server, started and listed. Its standard error goes to ``log``, whose last lines explain its errors.

    Raises LLMOSError where it cannot be started, hangs or speaks nonsense.
    """
    known = secrets(server, os.environ)
    try:
        with anyio.fail_after(server.timeout_s) as deadline:
            async with _client(name, server, log) as connection:
                await connection.list_tools()
                deadline.deadline = math.inf
                yield connection
    except TimeoutError as error:
        raise _unusable(name, f"It was not ready within {server.timeout_s:g} s.", known, log) from error
    except Exception as error:  # noqa: BLE001 - whatever went wrong with a stranger's program becomes one clear error
        leaf = _leaf(error)
        if isinstance(leaf, LLMOSError):
            raise leaf from None
        raise _unusable(name, _told(leaf), known, log) from leaf


@asynccontextmanager
async def _client(name: str, server: Server, log: IO[bytes]) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as stack:
        if server.url is not None:
            # Our own deadlines hold for calls; this one ends connections that nobody accepts.
            patience = Timeout(None, connect=min(server.timeout_s, 30.0))
            http = AsyncClient(headers=headers(name, server, os.environ), timeout=patience)
            await stack.enter_async_context(http)
            # The request that ends a session has no deadline: a server that never answers it would hang us.
            transport = streamable_http_client(server.url, http_client=http, terminate_on_close=False)
            client = Client(transport, mode="auto", cache=None)
            yield Connection(name, server, await stack.enter_async_context(client), log)
            return
        # A server may end at a question that it does not know: it is greeted in the way that all know.
        try:
            connection = await stack.enter_async_context(_spoken_to(name, server, log, "legacy"))
        except Exception as error:
            if not _is_newer(_leaf(error)):
                raise
            connection = await stack.enter_async_context(_spoken_to(name, server, log, "auto"))
        yield connection


@asynccontextmanager
async def _spoken_to(name: str, server: Server, log: IO[bytes], mode: str) -> AsyncIterator[Connection]:
    async with (
        started(server.argv, environment(name, server, os.environ), server.directory, log) as process,
        Client(process.streams(), mode=mode, cache=None) as client,
    ):
        yield Connection(name, server, client, log, process)


def _is_newer(error: BaseException) -> bool:
    return isinstance(error, MCPError) and error.code in (METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION)


def _listing(name: str, about: str, tools: Iterable[Tool], redacted: Callable[[str], str]) -> Listing:
    """The tools as they are kept; what cannot be used is told apart."""
    usable: dict[str, Definition] = {}
    refused: dict[str, str] = {}
    for tool in tools:
        if tool.name in usable or tool.name in refused:
            usable.pop(tool.name, None)
            refused[tool.name] = "the server has two tools of this name"
        elif len(tool.description or "") > _LONGEST_DESCRIPTION:
            refused[tool.name] = f"its description is longer than {_LONGEST_DESCRIPTION} characters"
        elif (reason := why_unusable(tool.input_schema)) is not None:
            refused[tool.name] = _short(redacted(reason))
        else:
            usable[tool.name] = _definition(tool)
    now = datetime.now(UTC)
    return Listing(server=name, about=redacted(about), listed_at=now, tools=tuple(usable.values()), refused=refused)


def _definition(tool: Tool) -> Definition:
    claims = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if tool.annotations else {}
    return Definition(
        name=tool.name,
        title=tool.title,
        description=tool.description or "",
        input_schema=tool.input_schema,
        annotations=claims,
    )


def _unusable(name: str, why: str, known: Sequence[str], log: IO[bytes]) -> LLMOSError:
    fix = f"Correct [plugins.mcp.servers.{name}], then: llmos mcp refresh {name}"
    return LLMOSError(f"The MCP server {name} cannot be used.", _with_last_words(why, log, known), fix)


def _with_last_words(why: str, log: IO[bytes], known: Sequence[str]) -> str:
    """The reason, and the last lines that the server wrote to its standard error, without the secrets."""
    why = _short(_without(why, known))
    size = os.fstat(log.fileno()).st_size
    text = os.pread(log.fileno(), _READ_BYTES, max(0, size - _READ_BYTES)).decode("utf-8", "replace")
    if size > _READ_BYTES:
        text = text.partition("\n")[2]  # a line cut at its start may begin with a part of a secret
    lines = [line.strip() for line in _without(text, known).splitlines() if line.strip()]
    tail = " | ".join(lines[-_TAIL_LINES:])[-_TAIL_CHARS:]
    return f"{why.rstrip('.')}. Its last words: {tail}." if tail else why


def _leaf(error: BaseException) -> BaseException:
    """The first error inside of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _told(error: BaseException) -> str:
    if isinstance(error, MCPError) and error.code == CONNECTION_CLOSED and str(error) == _CLOSED:
        return "It ended before it was ready."
    if isinstance(error, FileNotFoundError):
        return f"There is no {error.filename}."
    if isinstance(error, MCPError):
        return f"It answered: {error}"
    return f"{type(error).__name__}: {' '.join(_words(error).split())}"


def _words(error: BaseException) -> str:
    """What an error says; of an answer of the wrong form without the answer, which it would quote in part."""
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)


def _short(text: str) -> str:
    return text if len(text) <= 1_000 else f"{text[:997]}..."


def _without(text: str, known: Iterable[str]) -> str:
    for secret in known:
        text = text.replace(secret, "***")
    return text

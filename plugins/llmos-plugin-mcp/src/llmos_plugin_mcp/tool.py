"""A tool of a server as a tool of the kernel."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from anyio import to_thread

from llmos_core import Effect, LLMOSError, Run, ToolResult
from llmos_plugin_mcp.kept import Definition
from llmos_plugin_mcp.schema import ServerInput, input_model
from llmos_plugin_mcp.settings import Server

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from llmos_plugin_mcp.client import Connection

_NOT_AGAIN = "not called again: neither `pure` nor `repeatable` by the settings"


class ServerTool:
    """Calls the tool of a server, which is started once a run, at the first call.

    The effect is what the settings say. A call that may change something is not made a second time where a run is
    verified, unless the settings allow it: that would send the mail twice.
    """

    def __init__(
        self,
        name: str,
        server: str,
        settings: Server,
        definition: Definition,
        effect: Effect,
        *,
        repeatable: bool,
        max_output_chars: int,
    ) -> None:
        self.name = name
        self.description = definition.description or definition.title or definition.name
        self.input_model = input_model(name, definition.input_schema)
        self._server = server
        self._settings = settings
        self._definition = definition
        self._effect: Effect = effect
        self._repeatable = repeatable
        self._limit = max_output_chars

    def effect(self, input: Any) -> Effect:
        return self._effect

    async def run(self, input: ServerInput, run: Run) -> ToolResult:
        if self._effect != "pure" and not self._repeatable and run.is_copy:
            return ToolResult(output=_NOT_AGAIN, is_error=True)
        try:
            connection = await run.service(f"mcp:{self._server}", partial(_serve, self._server, self._settings, run))
            connection.check(self._definition)
            result = await connection.call(self._definition.name, input.root)
        except LLMOSError as error:
            return ToolResult(output=" ".join(str(error).split()), is_error=True)
        from llmos_plugin_mcp.results import tool_result

        return tool_result(result, connection.redacted, self._limit)


async def _serve(name: str, settings: Server, run: Run, *, task_status: TaskStatus[Connection]) -> None:
    """Keep a server ready until the run ends, or the server does."""
    await to_thread.run_sync(import_module, "llmos_plugin_mcp.client")
    from llmos_plugin_mcp.client import connected

    connection = None
    try:
        with await to_thread.run_sync(_open_log, name, run) as log:
            async with connected(name, settings, log) as connection:
                task_status.started(connection)
                await connection.until_broken()
    finally:
        if connection is not None:
            connection.gone.set()


def _open_log(name: str, run: Run) -> IO[bytes]:
    """Where the server's standard error goes: a file of the run, kept as long as its others."""
    try:
        directory = run.files / "mcp"
    except LLMOSError:  # nothing of this run is kept on disk
        return tempfile.TemporaryFile()
    directory.mkdir(exist_ok=True)
    file = os.open(directory / f"{name}.stderr", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(file, "ab+", buffering=0)

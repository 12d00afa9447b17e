"""A small MCP server: over standard input and output, or with a port over streamable HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent, ToolAnnotations

server: MCPServer[Any] = MCPServer("small", version="1.2", log_level="ERROR")
READS = ToolAnnotations(read_only_hint=True)


def add(a: int, b: int) -> int:
    return a + b


def add_all(a: int, b: int, your_password: int = 0) -> int:
    return a + b + your_password


server.tool(name="add", description=os.environ.get("ADD_DESCRIPTION", "Adds two numbers."), annotations=READS)(
    add_all if os.environ.get("ADD_ALSO") else add
)


@server.tool(structured_output=False)
def echo(text: str) -> str:
    """Gives the text back."""
    return text


@server.tool(structured_output=False)
def count(path: str) -> str:
    """Adds a line to a file, and gives the number of its lines."""
    with Path(path).open("a+") as file:
        file.write("x\n")
        file.seek(0)
        return str(len(file.readlines()))


@server.tool(structured_output=False)
def fail(text: str) -> str:
    """Fails."""
    raise ToolError(text)


@server.tool(structured_output=False)
def crash(code: int) -> str:
    """Ends the server."""
    print("I am about to crash", file=sys.stderr, flush=True)
    os._exit(code)


@server.tool(structured_output=False)
def slow(path: str, seconds: float = 600) -> str:
    """Writes its pid, and takes its time."""
    with Path(path).open("w") as file:
        file.write(str(os.getpid()))
    time.sleep(seconds)
    return "done"


@server.tool(structured_output=False)
def child(path: str) -> str:
    """Starts a child that ignores SIGTERM, and outlives the server unless somebody ends it."""
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    with Path(path).open("w") as file:
        file.write(f"{os.getpid()} {process.pid}")
    return "started"


@server.tool(structured_output=False)
def variables() -> str:
    """Its environment, and where it runs."""
    return "\n".join([str(Path.cwd()), *(f"{key}={value}" for key, value in sorted(os.environ.items()))])


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """A text and an image."""
    return ["Look:", Image(data=b"\x89PNG", format="png")]


@server.tool(structured_output=False)
def structured() -> CallToolResult:
    """Structured content without a text."""
    return CallToolResult(content=[], structured_content={"temperature": 21})


@server.tool(structured_output=False)
def both() -> CallToolResult:
    """An error with two texts."""
    texts = [TextContent(type="text", text=text) for text in ("one", "two")]
    return CallToolResult(content=[*texts], is_error=True)


@server.tool(name="odd name/here", structured_output=False)
def odd() -> str:
    """A tool whose name the Messages API does not take."""
    return "odd"


if os.environ.get("MORE_TOOLS"):

    @server.tool(name="odd_name/here")
    def other() -> str:
        """Another tool of the same name in the kernel."""
        return "other"


if __name__ == "__main__":
    if started := os.environ.get("STARTED"):
        with Path(started).open("a") as file:
            file.write("started\n")
    if words := os.environ.get("LAST_WORDS"):
        sys.exit(words)
    if os.environ.get("HANG"):
        time.sleep(600)
    if os.environ.get("BANNER"):
        print("Welcome to the small server!", flush=True)
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")

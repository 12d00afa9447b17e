"""A server that is spoken to over streamable HTTP, on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest

from llmos_core import LLMOSError, Run, ToolCall, ToolResult
from llmos_plugin_mcp.kept import Listing
from llmos_plugin_mcp.look import look_at
from llmos_plugin_mcp.settings import Server

from .conftest import SERVER, Boot, calls, wait_for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, str(SERVER), str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: answers(port))
            yield process
        finally:
            process.kill()


@pytest.fixture
def address() -> Iterator[str]:
    port = free_port()
    with serving(port):
        yield f"http://127.0.0.1:{port}/mcp"


async def test_its_tools_are_called(boot: Boot, address: str, results: list[ToolResult]) -> None:
    wanted = (("web__add", {"a": 2, "b": 3}), ("web__fail", {"text": "no"}), ("web__picture", {}))
    async with boot(calls(*wanted, into=results), web={"url": address, "timeout_s": 30}) as system:
        outcome = await system.execute("Add on the web")
    assert outcome.success, outcome.error
    assert [result.is_error for result in results] == [False, True, False]
    assert results[0].output == "5"


async def test_one_that_dies_gives_an_error_and_is_found_again(boot: Boot) -> None:
    port = free_port()
    outputs: list[ToolResult] = []

    async def act(run: Run) -> str:
        async def echo(number: int) -> None:
            call = ToolCall(id=f"c{number}", tool="web__echo", input={"text": str(number)})
            outputs.append(await run.call(call))

        await echo(1)
        process.kill()
        await anyio.to_thread.run_sync(process.wait)
        await echo(2)
        await echo(3)
        with serving(port):
            await echo(4)
        return "done"

    with serving(port) as process:
        settings = {"url": f"http://127.0.0.1:{port}/mcp", "timeout_s": 30}
        async with boot(act, in_memory=True, web=settings) as system:
            outcome = await system.execute("Call it")
    assert outcome.success, outcome.error
    assert [result.is_error for result in outputs] == [False, True, True, False]
    assert outputs[3].output == "4"
    for result in outputs[1:3]:
        assert "The MCP server web" in result.output


class Door(BaseHTTPRequestHandler):
    """Refuses all, and remembers what it was told."""

    seen: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.seen.append(self.headers["authorization"])
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return None


def test_headers_are_sent_and_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret-of-mine")
    Door.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{http.server_port}/mcp"
            settings = {"url": url, "headers": {"Authorization": "Bearer ${TOKEN}"}, "timeout_s": 10}
            look = look_at({"web": Server.model_validate(settings)})["web"]
        finally:
            http.shutdown()
            thread.join()
    assert set(Door.seen) == {"Bearer secret-of-mine"}
    assert isinstance(look, LLMOSError)
    assert "The MCP server web cannot be used." in look.what
    assert "secret-of-mine" not in str(look)


def test_it_is_listed_over_http(address: str) -> None:
    look = look_at({"web": Server(url=address)})["web"]
    assert isinstance(look, Listing)
    assert "add" in [tool.name for tool in look.tools]
    assert Path(SERVER).exists()


class NoFarewell(BaseHTTPRequestHandler):
    """Answers all but the request that ends a session."""

    released: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        version = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
        results = {
            "initialize": {**version, "serverInfo": {"name": "x", "version": "1"}},
            "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
        }
        found = asked["method"] in results
        reply = {"result": results[asked["method"]]} if found else {"error": {"code": -32601, "message": "no"}}
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **reply}).encode() if "id" in asked else b""
        self.send_response(200 if body else 202)
        self.send_header("content-type", "application/json")
        self.send_header("mcp-session-id", "a-session")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_response(405)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_DELETE(self) -> None:
        self.released.wait(30)

    def log_message(self, format: str, *args: Any) -> None:
        return None


def test_a_server_that_lets_nobody_go_holds_nobody() -> None:
    NoFarewell.released.clear()
    looks: list[Any] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), NoFarewell) as http:
        chosen = Server(url=f"http://127.0.0.1:{http.server_port}/mcp", timeout_s=20)
        serving = threading.Thread(target=http.serve_forever)
        looking = threading.Thread(target=lambda: looks.append(look_at({"web": chosen})["web"]))
        serving.start()
        looking.start()
        try:
            looking.join(15)
            held = looking.is_alive()
        finally:
            NoFarewell.released.set()
            looking.join()
            http.shutdown()
            serving.join()
    assert not held
    assert isinstance(looks[0], Listing), looks

"""What the tests of ``llmos init`` share: a local server of models, a home of its own, and ways to call it."""

from __future__ import annotations

import json
import os
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from llmos_core import LLMOSError
from llmos_plugin_claude.setup.init import init as command

KEY = "sk-ant-api03-0123456789-never-a-real-key"


class Model(BaseHTTPRequestHandler):
    """A local server with two models; it answers each request with one word."""

    models: ClassVar[list[str]] = []
    status: ClassVar[int] = 200
    asked: ClassVar[list[Mapping[str, str]]] = []

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": name} for name in self.models]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        message = {"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 9, "output_tokens": 1}}
        error = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
        self._send(self.status, message if self.status == 200 else error)

    def _send(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.fixture
def server() -> Iterator[str]:
    Model.models, Model.status = ["qwen3-coder", "gpt-oss"], 200
    Model.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    (path / "here").mkdir(parents=True)
    return path


@pytest.fixture
def config(home: Path) -> Path:
    """Where the user's settings lie; nothing is there."""
    return home / ".config" / "llmos" / "config.toml"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("ANTHROPIC_", "LLMOS_", "CLAUDE", "XDG_"))}
    return {**kept, "HOME": str(home)}


@dataclass
class Done:
    """What came of a command; an error is told as the command line tells it."""

    returncode: int
    stdout: str
    stderr: str


Init = Callable[..., Done]


@pytest.fixture
def init(home: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Init:
    """The command, without a terminal, in this process."""
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "here")

    def run(*arguments: str, stdin: str = "", **variables: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(command, arguments, input=stdin, standalone_mode=False)
        error = result.exception
        if error is not None and not isinstance(error, LLMOSError):
            raise error
        code = error.exit_code if error else int(result.return_value or 0)
        return Done(code, result.stdout, result.stderr + (str(error) if error else ""))

    return run


def settings(config: Path) -> dict[str, Any]:
    return tomllib.loads(config.read_text())


def nothing_written(home: Path) -> bool:
    return sorted(path.name for path in home.iterdir() if path.name != "here") == []


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port

"""What the tests of ``llmos init`` share: a local server of models, a home of its own, and ways to call it."""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmos_core import LLMOSError
from llmos_plugin_claude.setup.init import init as command
from llmos_testkit import ScriptedModel, api_error
from llmos_testkit.scripted_model import model_in_thread

KEY = "sk-ant-api03-0123456789-never-a-real-key"


WRONG_KEY = api_error(401, "authentication_error", "invalid x-api-key")


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    """A local server with two models; it answers each request with one word."""
    with model_in_thread() as model:
        model.models += ["qwen3-coder", "gpt-oss"]
        model.script = lambda _: "Hi"
        yield model


@pytest.fixture
def server(model: ScriptedModel) -> str:
    """Its address."""
    return model.url.replace("127.0.0.1", "localhost")


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

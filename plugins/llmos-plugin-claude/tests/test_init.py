"""``llmos init``: what it writes, what it refuses, and that nothing is half done."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import termios
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tomlkit
from click.testing import CliRunner

from llmos_core import LLMOSError
from llmos_plugin_claude.init import init as command
from llmos_plugin_claude.probe import find_servers
from llmos_plugin_claude.user_settings import changed

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


def test_a_piped_key_is_stored_where_nobody_else_reads_it(init: Init, home: Path, config: Path) -> None:
    done = init("--key-stdin", stdin=f"{KEY}\n")
    assert done.returncode == 0, done.stderr
    stored = config.with_name("credentials.toml")
    assert tomllib.loads(stored.read_text()) == {"anthropic": {"api_key": KEY}}
    assert stored.stat().st_mode & 0o777 == 0o600
    assert settings(config) == {"model": {"provider": "anthropic"}}
    assert KEY not in done.stdout + done.stderr
    assert (home / ".local/share/llmos/workspace/memories").is_dir()
    assert "Next: llmos run" in done.stdout


@pytest.mark.parametrize(
    ("stdin", "what"),
    [
        ("", "No key was given."),
        ("sk-proj-of-someone-else-0123456789", "This is no API key."),
        ("sk-ant-oat01-0123456789-0123456789", "This is no API key."),
        (f"{KEY} {KEY}", "The key holds a character that no key has."),
    ],
)
def test_what_is_no_key_is_refused(stdin: str, what: str, init: Init, home: Path) -> None:
    done = init("--key-stdin", stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr
    assert not stdin or stdin not in done.stderr
    assert nothing_written(home)


def test_without_a_terminal_it_must_be_told(init: Init, home: Path) -> None:
    done = init()
    assert done.returncode == 2
    for option in ("--key-stdin", "--login", "--local URL", "--rehearsal", "--workspace DIR", "--yes"):
        assert option in done.stderr
    assert nothing_written(home)


def test_one_way_at_a_time(init: Init, home: Path) -> None:
    done = init("--rehearsal", "--login")
    assert done.returncode == 2
    assert "in one way only" in done.stderr
    assert nothing_written(home)


def test_a_second_time_changes_only_what_is_asked(init: Init, config: Path, tmp_path: Path) -> None:
    config.parent.mkdir(parents=True)
    before = "# My settings.\n[limits]\nstall_timeout_s = 60 # short\n\n[plugins.claude]\nmax_turns = 7\n"
    config.write_text(before)
    config.chmod(0o600)
    assert init("--rehearsal", "--workspace", str(tmp_path / "mine")).returncode == 0
    after = config.read_text()
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    assert settings(config)["model"] == {"provider": "rehearsal"}
    assert settings(config)["workspace"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "state").is_dir()
    assert config.stat().st_mode & 0o777 == 0o600
    done = init("--yes")
    assert done.returncode == 0
    assert config.read_text() == after
    assert str(tmp_path / "mine") in done.stdout
    assert "Changed" not in done.stdout


def test_a_local_model_and_back(init: Init, config: Path, server: str) -> None:
    done = init("--local", f"{server}/v1/", "--model", "gpt-oss", "--check")
    assert done.returncode == 0, done.stderr
    local = {"base_url": server, "model": "gpt-oss"}
    assert settings(config) == {"model": {"provider": "anthropic"}, "plugins": {"claude": local}}
    assert "It answers. Cost: $0" in done.stdout
    assert f"The model is served by {server.removeprefix('http://')}." in done.stdout
    assert ["x-api-key" in asked for asked in Model.asked] == [False]
    assert init("--key-stdin", stdin=KEY).returncode == 0
    assert settings(config) == {"model": {"provider": "anthropic"}, "plugins": {"claude": {}}}


def test_the_only_model_of_a_server_needs_no_name(init: Init, config: Path, server: str) -> None:
    Model.models = ["the-only-one"]
    assert init("--local", server).returncode == 0
    assert settings(config)["plugins"]["claude"]["model"] == "the-only-one"


def test_of_several_models_one_must_be_named(init: Init, home: Path, server: str) -> None:
    done = init("--local", server)
    assert done.returncode == 2
    assert "The server has: qwen3-coder, gpt-oss." in done.stderr
    assert nothing_written(home)


def test_a_server_may_be_started_later_if_its_model_is_named(init: Init, config: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    nameless = init("--local", url)
    assert nameless.returncode == 2
    assert f"No server answers at {url}." in nameless.stderr
    assert not config.exists()
    done = init("--local", url, "--model", "qwen3")
    assert done.returncode == 0
    assert f"No server answers at {url}." in done.stderr
    assert settings(config)["plugins"]["claude"] == {"base_url": url, "model": "qwen3"}


@pytest.mark.parametrize("url", ["localhost:11434", "https://example.com", "http://192.168.0.2:8000", "ftp://x", ""])
def test_only_an_address_of_this_machine_is_local(url: str, init: Init, home: Path) -> None:
    done = init("--local", url, "--model", "m")
    assert done.returncode == 2
    assert "is no address on this machine" in done.stderr
    assert nothing_written(home)


def test_a_key_that_the_model_refuses_is_not_stored(init: Init, home: Path, server: str) -> None:
    Model.status = 401
    done = init("--key-stdin", "--check", stdin=KEY, ANTHROPIC_BASE_URL=server)
    assert done.returncode == 1
    assert "invalid x-api-key" in done.stderr
    assert "at list price less than $0.001" in done.stdout
    assert [asked["x-api-key"] for asked in Model.asked] == [KEY]
    assert nothing_written(home)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("config.toml", "[model\n", "cannot be read"),
        ("config.toml", "[plugins.claude]\nmodle = 1\n", "modle"),
        ("credentials.toml", "[anthropic\n", "is broken"),
    ],
)
def test_broken_files_are_told_and_left_alone(
    file: str, text: str, told: str, init: Init, home: Path, config: Path
) -> None:
    config.parent.mkdir(parents=True)
    (config.parent / file).write_text(text)
    done = init("--key-stdin", stdin=KEY)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert [(path.name, path.read_text()) for path in config.parent.iterdir()] == [(file, text)]


def test_a_workspace_that_cannot_be_made_leaves_all_as_it_was(init: Init, home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = init("--key-stdin", "--workspace", str(tmp_path / "file"), stdin=KEY)
    assert done.returncode == 2
    assert "is not a directory" in done.stderr
    assert nothing_written(home)


def test_what_goes_before_the_settings_is_said(init: Init, home: Path) -> None:
    done = init("--rehearsal", ANTHROPIC_API_KEY=KEY, LLMOS_PROVIDER="anthropic")
    assert done.returncode == 0
    assert "LLMOS_PROVIDER goes before it, and chooses: anthropic" in done.stderr


@pytest.mark.cli
def test_a_login_says_what_it_weakens(init: Init, config: Path) -> None:
    done = init("--login")
    assert done.returncode == 0, done.stderr
    assert settings(config) == {"model": {"provider": "subscription"}, "plugins": {"claude": {"login": True}}}
    for word in ("passed by one response", "the CLI's word", "past the gateway", "your own home"):
        assert word in done.stdout
    assert "the CLI is not logged in" in done.stderr
    assert "not logged in" not in init("--login", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-dummy").stderr
    assert init("--rehearsal").returncode == 0
    assert settings(config) == {"model": {"provider": "rehearsal"}, "plugins": {"claude": {}}}


async def test_the_usual_ports_are_looked_at(server: str) -> None:
    port = int(server.rpartition(":")[2])
    [found] = await find_servers({closed_port(): "Nobody", port: "Someone"})
    assert (found.url, found.name, found.models) == (server, "Someone", ("qwen3-coder", "gpt-oss"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        'workspace = "w" # mine\n',
        "[plugins.claude]\nmodel = 'x'\n[limits]\nparallel_runs = 2\n[plugins.trace]\nx = 1\n",
        "plugins.claude.model = 'x'\n",
        "[plugins]\nclaude = {model = 'x'} # inline\n",
        "plugins = {claude = {model = 'x'}}\n",
        "[model] # which\nprovider = 'rehearsal' # for now\n\n\n[prices.'m x']\ninput = 1\noutput=2\n",
    ],
)
def test_settings_are_changed_and_comments_stay(text: str, tmp_path: Path) -> None:
    changes = {("plugins", "claude", "login"): True, ("model", "provider"): "subscription", ("workspace",): "a\nb"}
    new = changed(text, changes, tmp_path)
    expected = tomllib.loads(text)
    expected.setdefault("plugins", {}).setdefault("claude", {})["login"] = True
    expected.setdefault("model", {})["provider"] = "subscription"
    assert tomllib.loads(new) == {**expected, "workspace": "a\nb"}
    assert all(comment in new for comment in re.findall(r"# \w+", text))
    back = changed(new, {("plugins", "claude", "login"): None, ("plugins", "none", "x"): None}, tmp_path)
    del expected["plugins"]["claude"]["login"]
    assert tomllib.loads(back) == {**expected, "workspace": "a\nb"}


def test_settings_that_cannot_be_changed_are_told_with_the_lines_to_write(tmp_path: Path) -> None:
    with pytest.raises(LLMOSError) as caught:
        changed("model = 1\n", {("model", "provider"): "rehearsal"}, tmp_path / "config.toml")
    assert caught.value.fix == 'Write by hand: model.provider = "rehearsal"'


def test_a_change_that_would_lose_something_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tomlkit, "dumps", lambda document: 'model.provider = "rehearsal"\n')
    with pytest.raises(LLMOSError, match="cannot be changed"):
        changed("[limits]\nparallel_runs = 2\n", {("model", "provider"): "rehearsal"}, tmp_path / "config.toml")


class Terminal:
    """``llmos init`` on a terminal of its own."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.shown = ""
        # Our own hold on the program's side keeps the terminal open until the program has come to it.
        self._master, self._slave = pty.openpty()
        place = os.ttyname(self._slave)
        # The first terminal that the leader of a session opens is the one that it is controlled by.
        line = f'exec "$0" "$@" <{place} >{place} 2>&1'
        self._process = subprocess.Popen(
            ["sh", "-c", line, sys.executable, "-m", "llmos_core", "init"],
            cwd=home / "here",
            env={**environment, "TERM": "xterm"},
            start_new_session=True,
        )

    def until(self, text: str) -> None:
        """Read on until the text is shown."""
        deadline = time.monotonic() + 60
        while text not in self.shown:
            ended = self._process.poll() is not None
            if not self._read() and (ended or time.monotonic() > deadline):
                raise AssertionError(f"{text!r} is not shown: {self.shown}")

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if ready:
            self.shown += os.read(self._master, 4096).decode()
        return bool(ready)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def type_hidden(self, text: str) -> None:
        """The same, once the program has switched the echo off."""
        deadline = time.monotonic() + 60
        while termios.tcgetattr(self._master)[3] & termios.ECHO:
            assert time.monotonic() < deadline, "what is typed is shown"
        self.type(text)

    def interrupt(self) -> None:
        """Ctrl-C; again if need be: CPython misses a signal that comes just before it waits for input."""
        for _ in range(30):
            self.type("\x03")
            for _ in range(10):
                if not self._read() and self._process.poll() is not None:
                    return

    def end(self) -> int:
        """The exit code."""
        deadline = time.monotonic() + 60
        while self._read() or self._process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.shown}"
        return self._process.returncode

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def terminal(home: Path, environment: dict[str, str]) -> Iterator[Callable[[], Terminal]]:
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(Terminal(home, environment)))


def test_on_a_terminal_it_asks_and_shows_no_key(terminal: Callable[[], Terminal], config: Path) -> None:
    first = terminal()
    first.until("Number, or keep")
    first.type("1\n")
    first.until("API key (not shown)")
    first.type_hidden(f"{KEY}\n")
    first.until("Next: llmos run")
    assert first.end() == 0
    assert KEY not in first.shown
    stored = config.with_name("credentials.toml")
    assert KEY in stored.read_text()
    again = terminal()
    again.until("Number, or keep")
    assert f"sonnet, by the key in {stored}" in again.shown
    again.type("\n")
    again.until("Next: llmos run")
    assert again.end() == 0
    assert settings(config) == {"model": {"provider": "anthropic"}}


@pytest.mark.parametrize("stage", ["menu", "key", "login"])
def test_ctrl_c_at_a_question_writes_nothing(stage: str, terminal: Callable[[], Terminal], home: Path) -> None:
    asked = terminal()
    asked.until("Number, or keep")
    if stage == "key":
        asked.type("1\n")
        asked.until("API key (not shown)")
    if stage == "login":
        asked.type("2\n")
        asked.until("Go on?")
        assert "passed by one response" in asked.shown
    asked.interrupt()
    assert asked.end() == 130
    assert nothing_written(home)


def test_a_local_model_is_chosen_on_a_terminal(terminal: Callable[[], Terminal], config: Path, server: str) -> None:
    asked = terminal()
    asked.until("Number, or keep")
    asked.type("3\n")
    asked.until("Address of the server")
    asked.type(f"{server}\n")
    asked.until("Model (qwen3-coder, gpt-oss)")
    asked.type("unknown\n")
    asked.until("Error")
    asked.type("qwen3-coder\n")
    asked.until("Next: llmos run")
    assert asked.end() == 0
    assert settings(config)["plugins"]["claude"] == {"base_url": server, "model": "qwen3-coder"}

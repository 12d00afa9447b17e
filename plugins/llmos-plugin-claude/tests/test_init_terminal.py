"""``llmos init`` on a terminal: it asks, hides the key, and Ctrl-C writes nothing."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from .init_parts import KEY, config, environment, home, model, nothing_written, server, settings

__all__ = ["config", "environment", "home", "model", "server"]


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

"""Real shells for tests: a terminal in tmux whose screen can be read, and bash that tells what it would complete."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

PATIENCE_S = 60.0
INSTALL = "is needed by the tests (see CONTRIBUTING.md): on Debian, apt-get install tmux zsh"


def program(name: str) -> str:
    """Where a program lies. A test that needs one that is missing fails: it is never passed over in silence."""
    found = shutil.which(name)
    assert found, f"{name} {INSTALL}"
    return found


def with_llmos(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which ``llmos`` is a command."""
    return {**environment, "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}


class Terminal:
    """A terminal in tmux, on a server of its own; close it."""

    def __init__(self, command: str, directory: Path, environment: Mapping[str, str], size: str = "100x30") -> None:
        self._socket = directory / "tmux.sock"
        columns, rows = size.split("x")
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, command, env=environment)

    def _tmux(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            [program("tmux"), "-S", str(self._socket), *arguments],
            cwd=self._socket.parent,
            env={**env, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} if env else None,
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return done.stdout

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def key(self, name: str) -> None:
        """Press a key by tmux's name for it: ``Tab``, ``Enter``, ``C-c``."""
        self._tmux("send-keys", name)

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until(self, shows: Callable[[str], bool]) -> str:
        """The screen once it shows what is waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while not shows(screen := self.screen):
            assert time.monotonic() < deadline, f"The terminal never showed it:\n{screen}"
            time.sleep(0.05)
        return screen

    def close(self) -> None:
        self._tmux("kill-server")


def bash_completes(words: list[str], directory: Path, environment: Mapping[str, str]) -> list[str]:
    """What bash offers for the last word: the script is read, and its function called, as bash does."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        eval "$(llmos completion bash)" || exit 1
        COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}
        _llmos_completion llmos && printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [program("bash"), "--norc", "-c", script],
        cwd=directory,
        env=with_llmos(environment),
        capture_output=True,
        check=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stderr == ""
    return done.stdout.split()

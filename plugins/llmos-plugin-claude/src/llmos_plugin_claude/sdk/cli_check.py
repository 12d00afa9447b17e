"""Which Claude Code CLI is started: the one that came with the SDK, else one whose version is known to be spoken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import anyio
import claude_agent_sdk
from anyio import to_thread

from llmos_core import LLMOSError, SettingsError

BUNDLED = Path(claude_agent_sdk.__file__).parent / "_bundled" / ("claude.exe" if os.name == "nt" else "claude")
"""The CLI inside the SDK's distribution; its version goes with the SDK's."""

KNOWN = (2, 1)
"""The major and minor version of the CLIs that are known here."""

OLDEST_PATCH = 248
"""The first of them that takes a prompt verbatim; an older one would put files named in it into the request."""

VERSION_S = 10.0
"""How long a CLI may take to tell its version."""

_VERSION = re.compile(rb"(\d{1,9})\.(\d{1,9})\.(\d{1,9}) \(Claude Code\)\s*")
_LONGEST = 200
_CORRECT = "Correct the setting plugins.claude.cli_path, or remove it: the SDK brings a CLI."
_REINSTALL = "Reinstall it: pip install --force-reinstall claude-agent-sdk"


async def find_cli(own: str | None, environment: Mapping[str, str]) -> Path:
    """The CLI to start: ``own`` if it is given (the setting ``cli_path``), else the SDK's, else one on the PATH.

    One that did not come with the SDK is asked for its version, in this environment. Raises SettingsError for an
    own CLI, LLMOSError for another, if it is missing, does not answer, or is of a version that is not known.
    """
    if own is None and await to_thread.run_sync(BUNDLED.is_file):
        return BUNDLED
    found = own or shutil.which("claude")
    if found is None:
        raise LLMOSError("The Claude Code CLI was not found.", f"It should be at {BUNDLED}.", _REINSTALL)
    path = await to_thread.run_sync(_absolute, found)
    problem = await _problem(path, environment)
    if problem is not None:
        kind, fix = (SettingsError, _CORRECT) if own else (LLMOSError, _REINSTALL)
        raise kind(f"The Claude Code CLI {path} cannot be used.", problem, fix)
    return path


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


async def _problem(path: Path, environment: Mapping[str, str]) -> str | None:
    """Why a CLI cannot be used; None if it can."""
    said = b""
    try:
        with anyio.move_on_after(VERSION_S) as clock:
            said = await _said(path, environment)
    except OSError as error:
        return f"It cannot be started: {error.strerror or error}."
    if clock.cancelled_caught:
        return f"It did not tell its version within {VERSION_S:g} s."
    line = said.strip().partition(b"\n")[0]
    version = _VERSION.fullmatch(line)
    if version is None:
        shown = " ".join(line.decode("utf-8", "replace").split())
        return f"Asked for its version, it said: {shown[:_LONGEST] or 'nothing'}."
    numbers = tuple(int(number) for number in version.groups())
    if numbers[:2] != KNOWN or numbers[2] < OLDEST_PATCH:
        known = ".".join(map(str, KNOWN))
        given = ".".join(map(str, numbers))
        return f"It is of version {given}; known are {known}.{OLDEST_PATCH} and what follows it in {known}."
    return None


async def _said(path: Path, environment: Mapping[str, str]) -> bytes:
    """The beginning of what it prints when asked for its version. What it leaves running is the caller's to end."""
    async with await anyio.open_process(
        [str(path), "--version"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    ) as process:
        said = b""
        try:
            assert process.stdout is not None
            async for chunk in process.stdout:
                said += chunk
                if len(said) > _LONGEST or b"\n" in said:
                    break
        finally:
            if process.returncode is None:
                process.kill()
    return said

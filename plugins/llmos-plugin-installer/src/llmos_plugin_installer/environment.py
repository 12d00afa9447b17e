"""The environment that ``llmos`` runs in, and how distributions are put into it and taken out of it.

pip or uv does the work, bound to the version of llmos-core that is there. What pipx or ``uv tool`` manages is then told
to them as well, since at their next upgrade they remove what they do not know of.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import importlib_metadata

from llmos_core import LLMOSError, PluginError
from llmos_core.commands import printable, say
from llmos_plugin_installer.record import CORE, Entry, locked

_FAULTS = (
    (
        r".*\bdepends? on llmos-core\b.*",
        "it is not for the llmos-core that is installed",
        "Ask for a version of it that is, or upgrade llmos-core first: installing a plugin never changes that.",
    ),
    (
        r"Could not fetch URL \S+: (?!404 ).*|.*(?:Failed to fetch: |connection broken by|dns error).*",
        "the package index cannot be reached",
        "Check the network and the installer's settings, or give a wheel or folder that needs nothing else.",
    ),
    (
        r"(\S.*)\n *error: subprocess-exited-with-error|.*(?:[Ff]ailed to build|backend-unavailable).*",
        "building it failed",
        "See all that the installer says with -v.",
    ),
    (
        r".*(?:\(from versions: none\)|was not found in (?:the|a) ).*",
        "there is no distribution of that name",
        "Check the name. A folder of that name is written with a / in it: ./NAME",
    ),
    (
        r".*(?:\(from versions: |[Nn]o version of | is available and | are available and |different Python).*",
        "no version of it fits",
        "Ask for another version.",
    ),
)
_PATIENCE_S = 10.0
_lock: ContextVar[tuple[int, ...]] = ContextVar("_lock", default=())
"""The descriptor of the lock on the environment, while it is held."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that can be changed: who manages it, pip's command for it, and that command's options."""

    manager: Literal["pip", "uv", "pipx", "uv tool"]
    pip: Sequence[str]
    options: Sequence[str] = ()

    def install(
        self, entries: Sequence[Entry], *, upgrade: bool = False, dry_run: bool = False, verbose: bool = False
    ) -> Sequence[str]:
        """Install; gives the names and versions that came, or with ``dry_run`` would come. Raises PluginError."""
        flags = list(self.options)
        if upgrade:
            flags += [f"--upgrade-package={entry.name}" for entry in entries] if "uv" in self.manager else ["-U"]
        arguments = [argument for entry in entries for argument in entry.arguments]
        failure = f"{', '.join(entry.name for entry in entries)} could not be installed"
        with TemporaryDirectory(prefix="llmos-") as scratch:
            (bound := Path(scratch, "bound.txt")).write_text(f"{CORE}=={importlib_metadata.version(CORE)}\n", "utf-8")
            command = [*self.pip, "install", *flags, "-c", str(bound), *arguments]
            first = [*command, "--dry-run"] if dry_run or self.manager == "pipx" else command
            came = _came(_done(first, failure, verbose))
            if self.manager == "pipx" and not dry_run:
                _inject(entries, bound, verbose)
                _done(command, failure, verbose)
        if self.manager == "uv tool" and not dry_run:
            _tell_uv(entries, (), verbose)
        return came

    def uninstall(self, names: Sequence[str], *, verbose: bool = False) -> None:
        """Remove distributions. Raises PluginError."""
        yes = [] if "uv" in self.manager else ["-y"]
        _done(
            [*self.pip, "uninstall", *self.options, *yes, *names], f"{', '.join(names)} could not be removed", verbose
        )
        if self.manager == "uv tool":
            _tell_uv((), names, verbose)
        elif self.manager == "pipx" and (known := _injected() & set(names)):
            _run([_tool("pipx"), "uninject", Path(sys.prefix).name, *sorted(known)], verbose)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change it while no other ``llmos`` does. SIGTERM ends that as Ctrl-C does."""
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with locked(Path(sys.prefix), lambda: say("Waiting for another installation to end ...")) as handle:
                held = _lock.set((handle,))
                try:
                    yield
                finally:
                    _lock.reset(held)
        finally:
            invalidate_caches()
            signal.signal(signal.SIGTERM, before)


def current() -> Environment:
    """The running environment. Raises PluginError where nothing may or can be installed."""
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return Environment("pipx", [_tool("pipx"), "runpip", prefix.name])
    python = ("--python", sys.executable)
    if (prefix / "uv-receipt.toml").is_file():
        return Environment("uv tool", [_tool("uv"), "pip"], python)
    if prefix == Path(sys.base_prefix) and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").is_file():
        why = f"Its Python ({sys.executable}) belongs to the operating system, which forbids it (PEP 668)."
        fix = "Install llmos-core with pipx or uv tool, or in a virtual environment."
        raise PluginError("Nothing can be installed into this environment.", why, fix)
    if find_spec("pip"):
        # It tells at -vv only that an index cannot be reached, when it is told not to try again.
        return Environment("pip", [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-vv"])
    return Environment("uv", [_tool("uv", "It holds no pip. "), "pip"], python)


def _tool(name: str, why: str = "") -> str:
    path = shutil.which(name)
    if path is None:
        why = f"{why}{name}, which can change the environment {sys.prefix}, is not on the PATH."
        raise PluginError("Nothing can be installed into this environment.", why, f"Install {name}, or add its place.")
    return path


def _came(said: str) -> list[str]:
    """Names and versions of what an installer put in, or would."""
    if lines := re.findall(r"^ \+ (\S+?)(?:==| @ )(\S+)", said, re.MULTILINE):
        return [" ".join(line) for line in lines]
    line = re.search(r"^(?:Would install|Successfully installed) (.+)", said, re.MULTILINE)
    return [" ".join(word.rpartition("-")[::2]) for word in line[1].split()] if line else []


def _injected() -> set[str]:
    metadata = json.loads(Path(sys.prefix, "pipx_metadata.json").read_text("utf-8"))
    return set(metadata.get("injected_packages", {}))


def _inject(entries: Sequence[Entry], bound: Path, verbose: bool) -> None:
    """Let pipx install what is not there yet, so that it knows it. What is there, it would pass over."""
    limits = {name: f"{os.environ.get(name, '')} {bound}".strip() for name in ("PIP_CONSTRAINT", "UV_CONSTRAINT")}
    for entry in entries:
        if not any(importlib_metadata.distributions(name=entry.name)):
            command = [_tool("pipx"), "inject", Path(sys.prefix).name, *entry.arguments]
            _done(command, f"{entry.name} could not be installed", verbose, limits)


def _tell_uv(added: Sequence[Entry], removed: Collection[str], verbose: bool) -> None:
    """Tell ``uv tool``, which keeps what its last call named: so all of the old is named again. Offline, so that it
    changes nothing else.
    """
    receipt = tomllib.loads(Path(sys.prefix, "uv-receipt.toml").read_text("utf-8"))["tool"]
    name = Path(sys.prefix).name
    named = {requirement["name"]: _line(requirement) for requirement in receipt["requirements"]}
    main = named.pop(name, [name])
    kept = {key: line for key, line in named.items() if key not in removed}
    kept |= {entry.name: entry.arguments for entry in added}
    if kept == named:
        return
    python = ["--python", receipt["python"]] if "python" in receipt else []
    options = [*python, *_flags(receipt.get("options", {}))]
    with TemporaryDirectory(prefix="llmos-") as scratch:
        path = Path(scratch, "requirements.txt")
        path.write_text("".join(f"{' '.join(line)}\n" for line in kept.values()), "utf-8")
        command = [_tool("uv"), "tool", "install", "--offline", *options, *main, "--with-requirements", str(path)]
        home = {"UV_TOOL_BIN_DIR": str(Path(receipt["entrypoints"][0]["install-path"]).parent)}
        code, said = _run(command, verbose, home)
    if code:
        say("Warning: uv tool was not told, and its next upgrade will undo this. Then run: llmos plugins sync")
        say(printable(_last(said)))


def _line(requirement: Mapping[str, Any]) -> Sequence[str]:
    """A requirement of uv's receipt, as it is named on a command line."""
    if place := requirement.get("editable"):
        return ["-e", place]
    extras = f"[{','.join(requirement['extras'])}]" if requirement.get("extras") else ""
    place = requirement.get("directory") or requirement.get("path")
    url = Path(place).as_uri() if place else requirement.get("url") or requirement.get("git", "")
    url = f"git+{url.replace('?rev=', '@')}" if "git" in requirement else url
    marker = f" ; {requirement['marker']}" if requirement.get("marker") else ""
    return [requirement["name"] + extras + (f" @ {url}" if url else requirement.get("specifier", "")) + marker]


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    """The options of uv's receipt that say where distributions are found, and which, but no tables of settings."""
    for key, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if key == "index":
                yield from ("--default-index" if one.get("default") else "--index", one["url"])
            elif one is True:
                yield f"--{key}"
            elif isinstance(one, str):
                yield from (f"--{key}", one)


def _done(command: Sequence[str], failure: str, verbose: bool, variables: Mapping[str, str] | None = None) -> str:
    """What a command said that must not fail. Raises PluginError."""
    code, said = _run(command, verbose, variables)
    if code:
        raise _fault(failure, said)
    return said


def _run(command: Sequence[str], verbose: bool, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run to the end; gives the exit code and all that was said. Whatever interrupts us ends the command, too."""
    prefix = Path(sys.prefix)
    homes = {"PIPX_HOME": str(prefix.parent.parent), "UV_TOOL_DIR": str(prefix.parent)}
    variables = {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **homes, **(variables or {})}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **variables},
        text=True,
        errors="replace",
        pass_fds=_lock.get(),  # so that the lock is held as long as it runs, even when this process was killed
        start_new_session=True,  # so that all of it can be ended, and nothing of it can ask on the terminal
    ) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if verbose:
                    say(printable(line.rstrip()))
        except BaseException:
            _end(process)
            raise
    return process.returncode, "".join(lines)


def _end(process: subprocess.Popen[str]) -> None:
    """End an installer and all that it started: as Ctrl-C would, so that it can tidy up, and for good after a while."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _fault(what: str, said: str) -> LLMOSError:
    """The error for what an installer said: its own line, and what that means."""
    for form, meaning, fix in _FAULTS:
        if found := re.search(form, said):
            return PluginError(f"{what}: {meaning}.", found[found.lastindex or 0].strip().removeprefix("ERROR: "), fix)
    return PluginError(f"{what}.", _last(said), "See all that the installer says with -v.")


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.lower().startswith("error")), lines[-1] if lines else "")

"""The sandbox of a run: started with its first command, gone with the run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from anyio import TASK_STATUS_IGNORED, sleep, to_thread
from anyio.abc import TaskStatus

from llmos_core import Run
from llmos_plugin_tools.base import Refused
from llmos_plugin_tools.environment import command_environment
from llmos_plugin_tools.process import POLL_S, Finished
from llmos_plugin_tools.sandbox.confine import Bounds, confine
from llmos_plugin_tools.sandbox.guard import NOT_OFFLINE
from llmos_plugin_tools.sandbox.places import home, toolchains
from llmos_plugin_tools.sandbox.policy import Policy
from llmos_plugin_tools.sandbox.probe import Choice, choose
from llmos_plugin_tools.sandbox.runner import Supervisor, supervisor
from llmos_plugin_tools.settings import SandboxSettings, ToolsSettings

_KEY = "llmos-plugin-tools/sandbox"


class Sandbox:
    """Runs commands as the settings say, and as this machine can. ``choice`` says how."""

    def __init__(self, started: Supervisor, choice: Choice, policy: Policy) -> None:
        self.choice = choice
        self._supervisor = started
        self._policy = policy

    @property
    def own(self) -> Path:
        """The run's own directory, with the home and the temporary files of its commands."""
        return self._supervisor.own

    @property
    def process_id(self) -> int:
        """The process that starts the commands."""
        return self._supervisor.process.pid

    @property
    def is_alive(self) -> bool:
        """False from the moment on at which it is known that the supervisor is dead."""
        return self._supervisor.process.returncode is None

    async def ended(self) -> None:
        """Wait for the end of the supervisor, which nothing but its death can bring while the sandbox is open."""
        await self._supervisor.process.wait()

    @property
    def kind(self) -> str:
        """``none`` also where none works: a guard has asked then."""
        return self.choice.kind or "none"

    async def run(
        self,
        command: Sequence[str],
        *,
        workdir: Path,
        workspace: Path,
        cwd: Path,
        env: Mapping[str, str],
        timeout_s: float,
        keep: int,
        report: int,
        offline: bool = False,
    ) -> Finished:
        """Run a command that may write in ``workdir`` and in the run's own directory; see :meth:`Supervisor.run`.

        ``offline``: without network, whatever the settings say. Raises Refused if nothing can keep it off, or if
        ``workdir`` holds what rules the agent.
        """
        bounds = Bounds({}, [], network=True)
        if self.kind != "none":
            bounds = await to_thread.run_sync(self._policy.bounds, workdir, workspace)
        elif offline:
            raise Refused(NOT_OFFLINE)
        if offline:
            bounds = replace(bounds, network=False)
        confined, command = confine(self.kind, command, bounds, cwd)
        return await self._supervisor.run(
            command,
            confined,
            cwd=cwd,
            env={**self._environment(), **env},
            timeout_s=timeout_s,
            keep=keep,
            report=report,
        )

    def _environment(self) -> dict[str, str]:
        if self.kind == "none":
            return command_environment()
        own = self._supervisor.own
        return {**command_environment(), **toolchains(), "HOME": str(own / "home"), "TMPDIR": str(own / "tmp")}


async def sandbox_of(run: Run) -> Sandbox:
    """The sandbox of a run, started if need be; anew after its death. Raises OSError."""
    serve = partial(_serve, run.settings(ToolsSettings).sandbox)
    while not (found := cast("Sandbox", await run.service(_KEY, serve))).is_alive:  # noqa: ASYNC110
        await sleep(POLL_S)  # what it left is cleared away
    return found


async def _serve(settings: SandboxSettings, *, task_status: TaskStatus[Sandbox] = TASK_STATUS_IGNORED) -> None:
    async with opened(settings) as sandbox:
        task_status.started(sandbox)
        await sandbox.ended()


@asynccontextmanager
async def opened(settings: SandboxSettings) -> AsyncIterator[Sandbox]:
    """A sandbox for as long as the context is open. Raises OSError if it cannot be started."""
    async with supervisor(settings) as started:
        policy = await to_thread.run_sync(Policy, settings, started.own)
        await to_thread.run_sync(_furnish, started.own / "home", settings)
        yield Sandbox(started, await choose(started), policy)


def _furnish(own_home: Path, settings: SandboxSettings) -> None:
    """Let what the user opened below the home be found there, where programs look for it."""
    real_home = home()
    for given in (*settings.read, *settings.write):
        place = Path(os.path.expanduser(given))  # noqa: PTH111 - an unknown ~user stays as it is
        if real_home is None or not place.is_relative_to(real_home) or place == real_home:
            continue
        link = own_home / place.relative_to(real_home)
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(place)

"""The ``llmos`` command as its users have it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmos_testkit.isolation import clean_environment


@dataclass(frozen=True, slots=True)
class LlmosCli:
    """Runs the installed ``llmos`` in a process of its own, whose user has an empty home and no key.

    ``home`` is the directory it runs in; its ``workspace/`` is the workspace. Distributions of ``plugin_distribution``
    are installed for it.

    Example::

        done = llmos_cli("plugins", "list", "--json")
        assert done.returncode == 0, done.stderr

    """

    home: Path

    @property
    def workspace(self) -> Path:
        return self.home / "workspace"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of its processes, as they are by now."""
        return {**clean_environment(self.home, os.environ), "COLUMNS": "120"}

    def __call__(
        self, *arguments: str, stdin: str = "", cwd: Path | None = None, timeout_s: float = 120, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it with arguments and further variables, and wait. Raises TimeoutExpired after ``timeout_s`` seconds."""
        done = self.raw(*arguments, stdin=stdin.encode(), cwd=cwd, timeout_s=timeout_s, **variables)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def raw(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        cwd: Path | None = None,
        timeout_s: float = 120,
        **variables: str,
    ) -> subprocess.CompletedProcess[bytes]:
        """The same with bytes, which need not be text."""
        return subprocess.run(
            [sys.executable, "-m", "llmos_core", *arguments],
            cwd=cwd or self.home,
            env={**self.environment, **variables},
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )


def make_cli(home: Path) -> LlmosCli:
    """The command in a home that is made for it."""
    (home / "workspace").mkdir(parents=True)
    return LlmosCli(home)

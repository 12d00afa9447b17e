"""Which files tools may touch: the one place where a path of a call becomes a path of the system.

Writing is for the run's working directory alone. Reading is for that directory and for the workspace, but not for what
rules the agent there (``memories/``, ``state/``). Paths are judged after ``..`` and symbolic links are resolved.
"""

from __future__ import annotations

import os
from pathlib import Path

from llmos_core import Run
from llmos_plugin_tools.base import Refused

SEALED = ("memories", "state")
"""Directories of a workspace that no tool may touch."""

READ_RULE = "Tools may read the working directory and the workspace, except its memories/ and state/."
SETTINGS_FILE = "llmos.toml"
WRITE_RULE = "Tools may write in the working directory only, and not in the workspace's memories/ and state/."


def real(path: str | Path) -> Path:
    """The path with symbolic links and ``..`` resolved; what does not exist is taken as it is written."""
    return Path(os.path.realpath(path))


class Paths:
    """The rules for one run. All answers are resolved paths."""

    def __init__(self, workdir: Path, workspace: Path) -> None:
        self.workdir = real(workdir)
        self._given_workdir = workdir
        self._given_workspace = workspace
        self._workspace = real(workspace)
        self._sealed = tuple(real(workspace / name) for name in SEALED)

    @classmethod
    def of(cls, run: Run) -> Paths:
        return cls(run.workdir, run.workspace)

    def readable(self, given: str) -> Path:
        """The resolved path, if it may be read. Raises Refused otherwise."""
        path = real(self._absolute(given))
        if not self.may_read(path):
            raise Refused(f"Not allowed to read {given}. {READ_RULE}")
        return path

    def writable(self, given: str) -> Path:
        """The resolved path, if a file may be written there. Raises Refused otherwise, also for a symbolic link."""
        absolute = self._absolute(given)
        path = real(absolute)
        if not self._may_write(path):
            raise Refused(f"Not allowed to write {given}. {WRITE_RULE}")
        if absolute.is_symlink():
            raise Refused(f"Refusing to write {given}: it is a symbolic link. Write to {self.show(path)} instead.")
        if path.name == SETTINGS_FILE:
            raise Refused(f"Not allowed to write {given}: it holds the settings that rule the agent.")
        return path

    def may_read(self, path: Path) -> bool:
        """Whether a resolved path may be read."""
        return self._may_write(path) or (path.is_relative_to(self._workspace) and not self._is_sealed(path))

    def show(self, path: Path) -> str:
        """A resolved path as models see it: relative inside the working directory, else absolute.

        A path outside the working directory is not shown relative to it, for that would differ in a copy elsewhere.
        """
        if path.is_relative_to(self.workdir):
            shown = str(path.relative_to(self.workdir))
        elif path.is_relative_to(self._workspace):
            shown = str(self._given_workspace / path.relative_to(self._workspace))
        else:
            shown = str(path)
        return printable(shown)

    def _absolute(self, given: str) -> Path:
        if "\0" in given:
            raise Refused("A path cannot hold a NUL character.")
        return self._given_workdir / os.path.expanduser(given)  # noqa: PTH111 - an unknown ~user stays as it is

    def _may_write(self, path: Path) -> bool:
        # A scratch copy may itself lie below a sealed directory: inside it, its own rule holds.
        sealed = self._is_sealed(path) and not self._is_sealed(self.workdir)
        return path.is_relative_to(self.workdir) and not sealed

    def _is_sealed(self, path: Path) -> bool:
        return any(path.is_relative_to(directory) for directory in self._sealed)


def printable(name: str) -> str:
    """A file name as text, with replacement characters for bytes that are no UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")

"""Where things lie in a workspace and in a project.

Tools may write in one directory only, the run's working directory; everything that rules the agent lies outside it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from llmos_core.errors import WorkspaceError
from llmos_core.files import workspace_root, write_atomic
from llmos_core.records import Record, now

_PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_RUN_ID = re.compile(r"(\d{4}-\d{2}-\d{2})-\d{6}-[0-9a-f]{6}(\.verify\d*)?")


def new_run_id(at: datetime | None = None) -> str:
    """An id that sorts by time and names the day its journal lies in: ``2026-11-22-142033-a1b2c3``.

    Of the last six digits, three are the fraction of the second, and three are random.
    """
    at = at or now()
    return f"{at:%Y-%m-%d-%H%M%S}-{at.microsecond * 4096 // 1_000_000:03x}{secrets.randbelow(4096):03x}"


class Project(Record):
    """A project: its agents, its output (the default working directory) and its state."""

    name: str
    root: Path

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def about(self) -> Path:
        """The file that says what it is for."""
        return self.root / "README.md"

    @property
    def description(self) -> str:
        """What it is for, in the words given when it was made."""
        if not self.about.is_file():
            return ""
        _, _, text = self.about.read_bytes().decode("utf-8", "replace").partition("\n")
        return text.strip()


class Workspace(Record):
    """The paths of a workspace. Directories are made when they are first needed."""

    root: Path

    @property
    def memories(self) -> Path:
        return self.root / "memories"

    @property
    def sessions(self) -> Path:
        return self.memories / "sessions"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def agents(self) -> Path:
        return self.root / "agents"

    @property
    def plugins(self) -> Path:
        """Plugins without a package."""
        return self.root / "plugins"

    def open(self) -> None:
        """Make the workspace, or raise WorkspaceError: it is a file, or cannot be written."""
        advice = "Name another place with --workspace DIR or LLMOS_WORKSPACE."
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.state.mkdir(mode=0o700, exist_ok=True)
            self.sessions.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise WorkspaceError(
                f"The workspace {self.root} is not a directory.", "There is a file in its place.", advice
            ) from error
        except OSError as error:
            raise WorkspaceError(
                f"The workspace {self.root} cannot be written.", f"{error.strerror}.", advice
            ) from error
        if not os.access(self.state, os.W_OK):
            raise WorkspaceError(f"The workspace {self.root} cannot be written.", "Permission denied.", advice)

    def is_run_id(self, text: str) -> bool:
        return _RUN_ID.fullmatch(text) is not None

    def journal(self, run_id: str) -> Path:
        """The journal of a run. Raises WorkspaceError for text that is no run id."""
        match = _RUN_ID.fullmatch(run_id)
        if match is None:
            raise WorkspaceError(f"{run_id!r} is no run id.", fix="See the ids with: llmos runs list")
        return self.sessions / match[1] / f"{run_id}.jsonl"

    def journals(self) -> Iterator[Path]:
        """The journals of all runs, newest first, a day's directory at a time."""
        if not self.sessions.is_dir():
            return
        for day in sorted((d for d in self.sessions.iterdir() if d.is_dir()), reverse=True):
            yield from sorted((p for p in day.glob("*.jsonl") if "." not in p.stem and p.is_file()), reverse=True)

    def projects(self) -> Iterator[Project]:
        """The projects that are there, by name."""
        places = self.root / "projects"
        for path in sorted(places.iterdir()) if places.is_dir() else ():
            if _PROJECT_NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                yield Project(name=path.name, root=path)

    def create_project(self, name: str, description: str = "") -> Project:
        """Make a project's directories, and keep what it is for; one that is there keeps what it holds.

        Raises WorkspaceError for a name that is none, for what is in the way, and where another description is kept.
        """
        project, description = self.project(name), description.strip()
        if project.about.exists() and description not in ("", project.description):
            raise WorkspaceError(
                f"The project {name} is there, with another description.",
                f"It stands in {project.about}, which may hold more by now.",
                "Change it there, or give no description.",
            )
        try:
            text = f"# {name}\n\n{description}\n".encode()
        except UnicodeEncodeError as error:
            raise WorkspaceError(
                "The description is not valid UTF-8.", str(error), "Write it as UTF-8 text."
            ) from error
        for part in ("components", "memory", "output", "state"):
            _make(project.root / part)
        if not project.about.exists():
            write_atomic(project.about, text)
        return project

    def project(self, name: str) -> Project:
        """Raises WorkspaceError for a name that could lead out of the workspace."""
        if not _PROJECT_NAME.fullmatch(name):
            raise WorkspaceError(
                f"{name!r} is no project name.",
                "A name has 1 to 64 letters, digits, - or _, and starts with a letter or digit.",
                "Choose such a name, for example: --project data_analysis",
            )
        project = Project(name=name, root=self.root / "projects" / name)
        if project.root.is_symlink() or project.output.is_symlink():
            fix = "Replace the link by a directory, or name the place with --dir."
            raise WorkspaceError(f"The project {name} is a symbolic link.", "It could lead anywhere.", fix)
        return project

    def working_directory(self, project: Project, directory: str | None, *, make: bool = True) -> Path:
        """The directory that a run may write; with ``make``, the project's own is made if it is not there.

        Raises WorkspaceError for one that is missing, or that would give the agent what rules it.
        """
        if directory is None and make:
            _make(project.output)
        path = (project.output if directory is None else Path(directory)).resolve()
        if directory is not None and not path.is_dir():
            raise WorkspaceError(
                f"The working directory {path} is not there.", fix="Make it first, or name another --dir."
            )
        root = self.root.resolve()
        ruling = (root / "memories", root / "state", root / "agents", root / "lessons", root / "plugins")
        if root.is_relative_to(path) or any(path.is_relative_to(place) for place in ruling):
            raise WorkspaceError(
                f"The working directory {path} holds what rules the agent.",
                f"The workspace {root} keeps traces, journals and agents; tools must not be able to write them.",
                "Name another --dir, or a workspace outside it with --workspace.",
            )
        return path


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "Move away what is in its place, or name another --project."
        raise WorkspaceError(f"The directory {directory} cannot be made.", f"{error.strerror}.", fix) from error


def find_workspace(given: str | Path | None, settings_file: Path | None, setting: str | None) -> Workspace:
    """The workspace at :func:`llmos_core.files.workspace_root`."""
    return Workspace(root=workspace_root(given, settings_file, setting))

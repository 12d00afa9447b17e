"""What was asked to be installed: read from a command line, and kept in the workspace as ``plugins.toml``."""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from llmos_core import UsageError, WorkspaceError, write_atomic

CORE = "llmos-core"
FILE_NAME = "plugins.toml"
_HEAD = "# What `llmos plugins install` installed. `llmos plugins sync` installs what of it is missing.\n"
_ARCHIVES = (".whl", ".tar.gz", ".zip")


@dataclass(frozen=True, slots=True)
class Entry:
    """A distribution somebody asked for.

    Args:
        name: of the distribution, normalised.
        requirement: as it was given.
        source: ``index``, ``url``, or the absolute path of a wheel, an archive or a folder.
        editable: a folder that is used as it stands.
        version: that was installed.

    """

    name: str
    requirement: str
    source: str
    editable: bool
    version: str = ""

    @property
    def is_path(self) -> bool:
        return self.source not in ("index", "url")

    @property
    def arguments(self) -> Sequence[str]:
        """What an installer is told."""
        if not self.is_path:
            return [self.requirement]
        return ["-e", self.source] if self.editable else [self.source]

    def pinned(self) -> Entry:
        """The same in the recorded version. URLs and paths lead to what is there."""
        if self.source != "index":
            return self
        extras = ",".join(sorted(Requirement(self.requirement).extras))
        return replace(self, requirement=f"{self.name}{f'[{extras}]' if extras else ''}=={self.version}")


def wanted(text: str, editable: bool = False, any_name: bool = False) -> Entry:
    """What a requirement asks for: a name with an optional range, NAME @ URL, or a path.

    A name is taken as it stands. One without "llmos" in it needs ``any_name``: it is more likely the short name of a
    plugin, and the distribution of that name somebody else's. Raises UsageError.
    """
    if not text.isprintable():
        raise UsageError(f"{text!r} is no requirement.", "It holds characters that cannot be shown.")
    if "://" not in text and (os.sep in text or text.startswith((".", "~")) or text.endswith(_ARCHIVES)):
        return _at_path(text, editable)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        fix = "Write NAME, NAME>=1.0, NAME @ URL, or the path of a wheel or folder with a / in it."
        raise UsageError(f"{text} is no requirement.", str(error).partition("\n")[0], fix) from error
    if requirement.marker:
        why = "What follows the ; says where it is to be installed, and you are asking for it here."
        raise UsageError(f"{text} has a condition.", why, f"Leave out: ; {requirement.marker}")
    name = canonicalize_name(requirement.name)
    if editable:
        raise UsageError(f"{text} is no folder.", "--editable is for folders.", f"If it is one, write ./{text}")
    if "llmos" not in name and not any_name and not requirement.url:
        raise UsageError(
            f"Is {name} the name of a plugin, or of a distribution?",
            f"Names are taken as they stand: this would install the distribution {name}, whosever it is.",
            f"Write llmos-plugin-{name}; or add --any-name, if the distribution is really called {name}.",
        )
    return Entry(name, text, "url" if requirement.url else "index", editable=False)


def _at_path(text: str, editable: bool) -> Entry:
    path = Path(text).expanduser().resolve()
    if path.is_dir():
        return Entry(_project_name(path), text, str(path), editable)
    if not path.is_file():
        raise UsageError(f"There is no file or folder {text}.", fix="Build it first, or correct the path.")
    if editable or not path.name.endswith(_ARCHIVES):
        why = "--editable is for folders." if editable else "It is no wheel, no source archive and no folder."
        raise UsageError(f"{text} cannot be installed.", why)
    parts = path.name.partition("-") if path.suffix == ".whl" else path.name.rpartition("-")
    return Entry(canonicalize_name(parts[0]), text, str(path), editable=False)


def _project_name(folder: Path) -> str:
    try:
        return canonicalize_name(tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["name"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"Its pyproject.toml names no project: {type(error).__name__}: {error}"
        raise UsageError(f"The folder {folder} cannot be installed.", why, "Name another folder.") from error


def read_record(root: Path) -> dict[str, Entry]:
    """What is recorded in a workspace, by name. Raises WorkspaceError for a file that is no record."""
    path = root / FILE_NAME
    try:
        return _entries(path.read_text("utf-8"), root)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        why = error.what if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        fix = "Correct it, or move it away: installing begins a new one."
        raise WorkspaceError(f"The record {path} cannot be read.", why, fix) from error


def _entries(text: str, root: Path) -> dict[str, Entry]:
    tables = tomllib.loads(text).get("plugins", {})
    return {name: _entry(name, table, root.resolve()) for name, table in tables.items()}


def _entry(name: str, table: dict[str, Any], root: Path) -> Entry:
    """An entry of a file that may come from anywhere: what it holds must be what is shown before it is installed."""
    kinds = {"requirement": str, "source": str, "editable": bool, "version": str}
    if {key: type(value) for key, value in table.items()} != kinds or not all(
        str(value).isprintable() for value in table.values()
    ):
        raise ValueError(f"{name} must have the texts requirement, source and version, and editable")
    if name == CORE:
        raise ValueError(f"{CORE} is no plugin, and is never changed")
    entry = Entry(name, **table)
    if entry.is_path:
        entry = replace(entry, source=os.path.normpath(root / table["source"]))
    asked = [f"{name}=={entry.version}", *([] if entry.is_path else [entry.requirement])]
    if any(wanted(text, any_name=True).name != name for text in asked):
        raise ValueError(f"{name} has the requirement {entry.requirement}")
    return entry


def update_record(root: Path, added: Mapping[str, Entry], removed: Collection[str] = ()) -> None:
    """Change the record while nobody else does. Raises WorkspaceError, and then leaves it as it is."""
    with locked(root):
        entries = {name: entry for name, entry in read_record(root).items() if name not in removed}
        entries |= added
        text = "\n".join([_HEAD, *_lines(entries.values(), root.resolve())])
        try:
            _entries(text, root)
        except (ValueError, UsageError) as error:
            why = error.what if isinstance(error, UsageError) else str(error)
            raise WorkspaceError(f"{', '.join(added)} cannot be recorded in {root / FILE_NAME}.", why) from error
        write_atomic(root / FILE_NAME, text.encode())


def _lines(entries: Collection[Entry], root: Path) -> Iterator[str]:
    for entry in sorted(entries, key=lambda entry: entry.name):
        yield f"[plugins.{entry.name}]"
        inside = entry.is_path and Path(entry.source).is_relative_to(root)
        source = f"./{Path(entry.source).relative_to(root).as_posix()}" if inside else entry.source
        for key, value in (("requirement", entry.requirement), ("source", source), ("version", entry.version)):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
        yield f"editable = {json.dumps(entry.editable)}\n"


@contextmanager
def locked(directory: Path, waiting: Callable[[], object] | None = None) -> Iterator[int]:
    """Hold a directory against others that would hold it; ``waiting`` is called if one does.

    Gives the descriptor: a process that inherits it holds the directory until it ends.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)

"""States of a directory: captured with bounds, laid out again elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from llmos_core.errors import LLMOSError
from llmos_core.files import file_digest
from llmos_core.kernel.states import ChangedError, copy_file
from llmos_core.records import FileState, Record, TreeState

_DERIVED = frozenset({"__pycache__"})
"""Directories whose contents are derived from their neighbours; they are no part of a state."""


class Bounds(Record):
    """How large a directory may be for its state to be kept."""

    max_files: int = 20_000
    max_bytes: int = 256 << 20


class _UnkeepableError(Exception):
    """The directory cannot be kept, for the reason given."""


def capture(root: Path, bounds: Bounds, keep: Callable[[Path], str] = file_digest) -> TreeState:
    """The state of ``root``. ``keep`` takes each file and gives its digest.

    Beyond the bounds, or where something cannot be read, the state comes back empty, with the reason in ``missing``.
    """
    entries: dict[str, FileState] = {}
    total = 0
    try:
        for path, info in _walk(root):
            if len(entries) >= bounds.max_files:
                raise _UnkeepableError(f"it holds more than {bounds.max_files:,} files")
            total += info.st_size if stat.S_ISREG(info.st_mode) else 0
            if total > bounds.max_bytes:
                raise _UnkeepableError(f"it holds more than {bounds.max_bytes >> 20} MiB")
            state = _state(path, info, keep)
            if state is not None:
                entries[_name(path, root)] = state
    except (_UnkeepableError, ChangedError, OSError) as error:
        return TreeState(missing=f"the state of the working directory was not kept: {error}")
    return TreeState(entries=entries)


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(root) as listing:
        found = sorted(listing, key=lambda entry: entry.name)
    for entry in found:
        if entry.name in _DERIVED:
            continue
        info = entry.stat(follow_symlinks=False)
        yield Path(entry.path), info
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(Path(entry.path))


def _name(path: Path, root: Path) -> str:
    return _text(path.relative_to(root).as_posix())


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise _UnkeepableError(f"it holds a name that is not UTF-8: {name!r}") from error
    return name


def _state(path: Path, info: os.stat_result, keep: Callable[[Path], str]) -> FileState | None:
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        return FileState(kind="link", mode=0, target=_text(str(path.readlink())))
    if stat.S_ISDIR(info.st_mode):
        return FileState(kind="directory", mode=mode)
    if not stat.S_ISREG(info.st_mode):
        return None
    return FileState(kind="file", mode=mode, size=info.st_size, digest=keep(path))


def lay_out(tree: TreeState, content: Callable[[str], Path], target: Path) -> None:
    """Make ``target`` (which exists and is empty) a copy of a captured state."""
    directories = []
    for name, state in tree.entries.items():
        path = target / name
        if state.kind == "directory":
            path.mkdir()
            directories.append((path, state.mode))
        elif state.kind == "link":
            path.symlink_to(state.target or "")
        else:
            if copy_file(content(state.digest or ""), path) != state.digest:
                raise LLMOSError("A kept state is damaged.", f"The content of {name} is not what was kept.")
            path.chmod(state.mode)
    for path, mode in reversed(directories):
        path.chmod(mode)

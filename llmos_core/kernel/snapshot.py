"""States of a directory: captured with bounds, their contents kept once each, laid out again elsewhere."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from llmos_core.files import file_digest
from llmos_core.records import FileState, Record, TreeState

_CHUNK = 1 << 20
_DERIVED = frozenset({"__pycache__"})
"""Directories whose contents are derived from their neighbours; they are no part of a state."""


class Bounds(Record):
    """How large a directory may be for its state to be kept."""

    max_files: int = 20_000
    max_bytes: int = 256 << 20


class _UnkeepableError(Exception):
    """The directory cannot be kept, for the reason given."""


class BlobStore:
    """File contents by their SHA-256, each kept once, below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        return self.root / digest[:2] / digest[2:]

    def keep(self, source: Path) -> str:
        """Copy a file in, unless it is there, and return the digest of what was copied."""
        digest = file_digest(source)
        target = self.path(digest)
        if target.exists():
            return digest
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}.{id(self):x}")
        copied = _copy(source, draft)
        if copied != digest:
            draft.unlink()
            raise _UnkeepableError(f"{source.name} changed while it was read")
        draft.replace(target)
        return digest


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def capture(root: Path, bounds: Bounds, blobs: BlobStore | None = None) -> TreeState:
    """The state of ``root``; with ``blobs`` the contents are kept as well.

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
            state = _state(path, info, blobs)
            if state is not None:
                entries[_name(path, root)] = state
    except (_UnkeepableError, OSError) as error:
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
    name = path.relative_to(root).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise _UnkeepableError(f"it holds a name that is not UTF-8: {name!r}") from error
    return name


def _state(path: Path, info: os.stat_result, blobs: BlobStore | None) -> FileState | None:
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISLNK(info.st_mode):
        return FileState(kind="link", mode=0, target=str(path.readlink()))
    if stat.S_ISDIR(info.st_mode):
        return FileState(kind="directory", mode=mode)
    if not stat.S_ISREG(info.st_mode):
        return None
    digest = blobs.keep(path) if blobs else file_digest(path)
    return FileState(kind="file", mode=mode, size=info.st_size, digest=digest)


def lay_out(tree: TreeState, blobs: BlobStore, target: Path) -> None:
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
            _copy(blobs.path(state.digest or ""), path)
            path.chmod(state.mode)
    for path, mode in reversed(directories):
        path.chmod(mode)

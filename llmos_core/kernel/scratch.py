"""Scratch directories: there while they are used, and removed at the end; those of killed processes a little later."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

_PREFIX = "scratch-"
_YOUNG_S = 60.0
"""A directory so young may be about to be locked by its maker."""


@asynccontextmanager
async def scratch_directory(parent: Path, name: str) -> AsyncIterator[Path]:
    """An empty directory in ``parent``, locked against the sweep while the context is open."""
    directory, lock = await anyio.to_thread.run_sync(_make, parent, name)
    try:
        yield directory
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_remove, directory)
        os.close(lock)


def _make(parent: Path, name: str) -> tuple[Path, int]:
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    directory = parent / f"{_PREFIX}{name}"
    directory.mkdir()
    lock = os.open(directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return directory, lock


def _sweep(parent: Path) -> None:
    """Remove what killed processes left."""
    for stale in parent.glob(f"{_PREFIX}*"):
        if stale.is_dir() and not stale.is_symlink() and time.time() - stale.stat().st_mtime > _YOUNG_S:
            with suppress(OSError):  # in use, or another process sweeps too
                _remove_unlocked(stale)


def _remove_unlocked(directory: Path) -> None:
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(directory)
    finally:
        os.close(lock)


def _remove(tree: Path) -> None:
    """Remove a directory even where a step took the right to write it."""
    for path in (tree, *tree.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(tree)

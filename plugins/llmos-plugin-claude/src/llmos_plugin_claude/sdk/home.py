"""The CLI's private home: made for one run, locked while it is in use, removed at its end or by a later run."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
from anyio import to_thread
from filelock import FileLock, Timeout

from llmos_core import Notice, Run, UsageError
from llmos_plugin_claude.sdk import processes

CONFIG = "CLAUDE_CONFIG_DIR"

_PREFIX = "llmos-"
_LOCK = "in-use"
_YOUNG_S = 60.0
"""A home may be this old before it is locked."""


@asynccontextmanager
async def private_home(run: Run) -> AsyncIterator[Path]:
    """A directory for the CLI's own files, outside the run's working directory; removed at the end.

    What runs that were killed left behind is removed first. Raises UsageError if the working directory holds the
    system's temporary files.
    """
    parent = await to_thread.run_sync(_parent, run.workdir)
    await to_thread.run_sync(sweep, parent)
    home = await to_thread.run_sync(_make, parent)
    # The lock ends with this process, however that ends.
    lock = FileLock(home / _LOCK, thread_local=False)
    try:
        await to_thread.run_sync(lock.acquire)
        yield home
    finally:
        with anyio.CancelScope(shield=True):
            try:
                await to_thread.run_sync(shutil.rmtree, home)
            except OSError as error:
                run.emit(Notice(level="warning", text=f"The temporary directory {home} could not be removed: {error}"))
            await to_thread.run_sync(lock.release)


def sweep(parent: Path) -> None:
    """Remove the homes in ``parent`` whose runs are dead, and end what is left of their CLIs."""
    for home in parent.glob(f"{_PREFIX}*"):
        with _abandoned(home) as abandoned:
            if abandoned:
                processes.kill(CONFIG, str(home / "config"))
                shutil.rmtree(home, ignore_errors=True)  # another process may be at it, too


@contextmanager
def _abandoned(home: Path) -> Iterator[bool]:
    """Whether nobody uses the home; nobody else takes it for abandoned at the same time."""
    lock = home / _LOCK
    try:
        young = time.time() - home.stat().st_mtime < _YOUNG_S
    except OSError:
        young = True
    if young or not lock.is_file() or lock.is_symlink():
        yield False
        return
    try:
        with FileLock(lock, timeout=0):
            yield True
    except (Timeout, OSError):
        yield False


def _parent(workdir: Path) -> Path:
    parent = Path(tempfile.gettempdir()).resolve()
    if parent.is_relative_to(workdir.resolve()):
        raise UsageError(
            "The working directory holds the system's temporary files.",
            f"{parent} lies in {workdir}, where the agent may write.",
            "Choose another --dir, or set TMPDIR to a directory elsewhere.",
        )
    return parent


def _make(parent: Path) -> Path:
    home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    (home / _LOCK).touch()  # from now on the sweep knows it
    for name in ("home", "config", "tmp"):
        (home / name).mkdir()
    return home

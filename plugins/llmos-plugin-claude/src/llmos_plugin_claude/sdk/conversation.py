"""Conversations that can be gone on with: the CLI's own record of a session, kept among the files of the run."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import anyio
from anyio import to_thread

from llmos_core import LLMOSError, Notice, Run, UsageError

MAX_BYTES = 64 << 20
"""The most that is kept of one conversation, in bytes."""

_KEPT = "conversation"
_PROJECTS = "projects"


async def resume(run: Run, config: Path) -> str | None:
    """Lay the conversation that the task continues below the CLI's ``config``; gives its id, None if there is none.

    Raises UsageError if the run named by the task kept no conversation, or does not have it any more.
    """
    if run.task.continues is None:
        return None
    return await to_thread.run_sync(_lay, run, run.task.continues, config)


async def keep(run: Run, config: Path, session_id: str) -> None:
    """Keep the conversation with this id, so that a later run can go on with it. A failure is told, and no more."""
    with anyio.CancelScope(shield=True):
        try:
            problem = await to_thread.run_sync(_keep, run, config, session_id)
        except (OSError, LLMOSError) as error:
            problem = str(error)
        if problem:
            run.emit(Notice(level="warning", text=f"The conversation is not kept, --continue will not work: {problem}"))


def _lay(run: Run, earlier: str, config: Path) -> str:
    kept = run.files_of(earlier) / _KEPT if Path(earlier).name == earlier != ".." else None
    records = list(kept.glob(f"{_PROJECTS}/*/*.jsonl")) if kept else []
    if kept is None or len(records) != 1:
        raise UsageError(
            f"The conversation of run {earlier} cannot be gone on with.",
            "There is no such run, it asked no model (a replay, say), or it is too old to be kept.",
            "Name a later run (see: llmos runs list), or run the goal without --continue.",
        )
    shutil.copytree(kept, config, dirs_exist_ok=True, copy_function=_copy_new)
    return records[0].stem


def _copy_new(source: str, target: str) -> None:
    """Copy a file unless it is there: in the user's own home the conversation may have gone on since."""
    if not Path(target).exists():
        shutil.copyfile(source, target)


def _keep(run: Run, config: Path, session_id: str) -> str | None:
    """Copy the session's files; gives why they are not kept, if they are not."""
    files = list(_files(config, session_id))
    size = sum(path.stat().st_size for path in files)
    if not files:
        return None
    if size > MAX_BYTES:
        return f"it takes {size >> 20} MiB; at most {MAX_BYTES >> 20} are kept."
    draft = run.files / f".{secrets.token_hex(8)}"
    draft.mkdir(mode=0o700)
    try:
        for path in files:
            target = draft / path.relative_to(config)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        draft.rename(run.files / _KEPT)
    except OSError:
        shutil.rmtree(draft)
        raise
    return None


def _files(config: Path, session_id: str) -> Iterator[Path]:
    """The record of the session, and what lies in its directory: those of its sub-agents, long results of tools."""
    for record in config.glob(f"{_PROJECTS}/*/{session_id}.jsonl"):
        yield record
        yield from (path for path in record.with_suffix("").rglob("*") if path.is_file() and not path.is_symlink())

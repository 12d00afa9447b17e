"""Files: their digests, writing them so that a crash leaves old content or new, and finding the workspace."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write durably: a draft beside the file is synced, then put in its place, then the directory is synced."""
    import secrets

    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(file, "wb") as writer:
            writer.write(data)
            writer.flush()
            os.fsync(writer.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def workspace_root(given: str | Path | None, settings_file: Path | None, setting: str | None) -> Path:
    """Where the workspace is: the given one, else ``LLMOS_WORKSPACE``, else the settings', else ``./workspace`` if
    it is there, else one in the user's data directory. A setting is relative to its file.
    """
    if given is None:
        given = os.environ.get("LLMOS_WORKSPACE") or None
    if given is None and setting is not None:
        given = (settings_file.parent if settings_file else Path()) / Path(setting).expanduser()
    if given is None:
        here = Path("workspace")
        if here.is_dir():
            given = here
        else:
            from platformdirs import user_data_path

            given = user_data_path("llmos") / "workspace"
    return Path(given).expanduser().absolute()

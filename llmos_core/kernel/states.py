"""Where the states before and after runs are kept: each content once, those of the latest runs, nothing for ever."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from llmos_core.files import file_digest, write_atomic
from llmos_core.records import TreeState

_CHUNK = 1 << 20
_SLACK = 20
_YOUNG_S = 3600.0


Moment = Literal["starts", "ends"]
"""When a state was: before the first call that could change something, or at the end of the run."""


class ChangedError(Exception):
    """A file changed while it was read."""


def copy_file(source: Path, target: Path) -> str:
    """Copy the bytes of a file to one that only its owner may read; gives the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with source.open("rb") as reader, os.fdopen(file, "wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


class StateStore:
    """States below ``root``: contents by their SHA-256 in ``blobs/``, a manifest a run in ``starts/`` and ``ends/``.

    Beside them ``runs/`` has a directory a run for files of plugins.

    Args:
        latest: how many runs' states are kept; older ones are pruned with the contents that only they needed.
    """

    def __init__(self, root: Path, latest: int = 100) -> None:
        self._blobs = root / "blobs"
        self._manifests: dict[Moment, Path] = {"starts": root / "starts", "ends": root / "ends"}
        self._files = root / "runs"
        self._latest = latest

    def content(self, digest: str) -> Path:
        """Where the content of that digest lies."""
        return self._blobs / digest[:2] / digest[2:]

    def files(self, run_id: str) -> Path:
        """Where plugins keep files of a run."""
        return self._files / run_id

    def keep(self, source: Path) -> str:
        """Copy a file's content in, unless it is there, and return its digest. Raises ChangedError."""
        digest = file_digest(source)
        target = self.content(digest)
        if target.exists():
            os.utime(target)
            return digest
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{secrets.token_hex(8)}")
        if copy_file(source, draft) != digest:
            draft.unlink()
            raise ChangedError(f"{source.name} changed while it was read")
        draft.replace(target)
        return digest

    def save(self, run_id: str, state: TreeState, moment: Moment = "starts") -> None:
        """Keep a state of a run, and prune what is too old now and then."""
        self._manifests[moment].mkdir(parents=True, exist_ok=True)
        write_atomic(self._manifests[moment] / f"{run_id}.json", state.model_dump_json().encode())
        if moment == "ends":
            return
        runs = sorted(path.stem for path in self._manifests["starts"].glob("*.json"))
        if len(runs) > self._latest + _SLACK:
            self._prune(runs[-self._latest])

    def load(self, run_id: str, moment: Moment = "starts") -> TreeState:
        """A state of a run. Raises FileNotFoundError if it is not kept (any more)."""
        return TreeState.model_validate_json((self._manifests[moment] / f"{run_id}.json").read_bytes())

    def _prune(self, oldest: str) -> None:
        """Remove what is kept of runs before the ``oldest`` to keep, and the contents that no other needs.

        Contents touched lately stay: another process may be about to name them in its manifest.
        """
        needed = set()
        try:
            for moment, directory in self._manifests.items():
                for manifest in directory.glob("*.json"):
                    if manifest.stem < oldest:
                        manifest.unlink(missing_ok=True)
                    else:
                        needed |= {state.digest for state in self.load(manifest.stem, moment).entries.values()}
            for files in self._files.glob("*"):
                if files.name < oldest and files.is_dir():
                    shutil.rmtree(files, ignore_errors=True)
        except (FileNotFoundError, ValueError):
            return  # another process prunes too, or a manifest is damaged: what is needed is not known
        for blob in self._blobs.glob("*/*"):
            with suppress(FileNotFoundError):  # another process was faster
                if blob.parent.name + blob.name not in needed and time.time() - blob.stat().st_mtime > _YOUNG_S:
                    blob.unlink()

"""Plugins without a package: files in the workspace's ``plugins/``, each off until its user enabled these very bytes.

What was enabled is kept with the user, not in the workspace, which may have come from anywhere.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from llmos_core.errors import PluginError
from llmos_core.host.discovery import Found

LOCAL = "workspace"
"""Stands in the place of a distribution."""

_MAX_BYTES = 1 << 20


def find_local(directory: Path | None) -> Iterator[Found]:
    """The Python files of a directory, by name; their version is the digest of what they hold."""
    if directory is None or not directory.is_dir():
        return
    for path in sorted(directory.glob("*.py")):
        try:
            digest, fault = _digest(_read(path)), None
        except (OSError, PluginError) as error:
            digest, fault = "", str(error)
        yield Found(path.stem, path.name, LOCAL, digest[:12], fault=fault, place=str(path.absolute()), digest=digest)


def why_off(found: Found) -> str | None:
    """Why a local plugin is not loaded, if it is not: its user has not enabled these bytes."""
    if found.fault:
        return found.fault
    enabled = _approvals().get(found.place)
    if enabled is None:
        return "it was not enabled"
    return None if enabled == found.digest else "it was changed since it was enabled"


def approve(found: Found) -> None:
    """Enable the bytes that were found. Raises PluginError where others lie there by now."""
    digest = _digest(_read(Path(found.place)))
    if digest != found.digest:
        raise PluginError(f"{found.place} is being changed.", fix="Read it again, and enable it then.")
    _keep(found.place, digest)


def withdraw(found: Found) -> None:
    """A local plugin is enabled no longer."""
    _keep(found.place, None)


def load_local(found: Found) -> ModuleType:
    """Run the enabled bytes as a module. Raises PluginError where others lie there by now."""
    source = _read(Path(found.place))
    if _digest(source) != _approvals().get(found.place):
        raise PluginError(f"{found.place} was changed since it was enabled.")
    module = ModuleType(f"llmos_local_{found.name}")
    module.__file__ = found.place
    sys.modules[module.__name__] = module  # where annotations are looked up
    exec(compile(source, found.place, "exec"), module.__dict__)  # noqa: S102 - its user enabled these bytes
    return module


def _read(path: Path) -> bytes:
    # A pipe or a device might never answer, or never end.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not os.path.isfile(file.fileno()):  # noqa: PTH113 - what was opened
            raise PluginError(f"{path} is no regular file.")
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise PluginError(f"{path} is longer than {_MAX_BYTES} bytes.")
    return data


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _file() -> Path:
    from platformdirs import user_data_path

    return user_data_path("llmos") / "enabled_plugins.json"


def _approvals() -> dict[str, str]:
    """Digests by path. A damaged file enables nothing."""
    try:
        kept = json.loads(_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(place): str(digest) for place, digest in kept.items()} if isinstance(kept, dict) else {}


def _keep(place: str, digest: str | None) -> None:
    """Keep the digest of what is enabled at a path, or none, while nobody else changes the others."""
    import fcntl

    from llmos_core.files import write_atomic

    _file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _file().with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go with the file
        approvals = {key: kept for key, kept in {**_approvals(), place: digest}.items() if kept}
        write_atomic(_file(), json.dumps(approvals, indent=2, sort_keys=True).encode())

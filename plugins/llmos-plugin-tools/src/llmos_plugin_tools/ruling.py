"""What rules the agent: places that no tool may write, wherever the working directory lies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

SEALED = ("memories", "state")
"""Directories of a workspace that no tool may touch, and no command read but for one that works there (a copy)."""

RULING = (*SEALED, "agents", "lessons", "plugins")
"""Directories of a workspace that no tool may write."""


def lies_in(path: Path, directory: Path) -> bool:
    """Whether a resolved path is a resolved directory or below it; several times faster than ``is_relative_to``."""
    return path == directory or str(path).startswith(os.path.join(directory, ""))  # noqa: PTH118


def user_places() -> tuple[Path, ...]:
    """Where LLM OS keeps its user's settings and keys; a workspace may lie below one of them."""
    from platformdirs import user_config_path, user_data_path

    return _real(user_config_path("llmos")), _real(user_data_path("llmos"))


def code_places(directory: Path) -> tuple[Path, ...]:
    """Where code of LLM OS, its plugins and its Python lies or is looked for, in or around the resolved directory."""
    path = tuple(map(_real, sys.path))  # an empty entry is the current directory
    if not any(lies_in(place, directory) or lies_in(directory, place) for place in (*path, _real(sys.prefix))):
        return ()  # what follows reads the metadata of all that is installed
    return (*_code(path, sys.prefix), *_on_path(path, directory))


def _on_path(path: tuple[Path, ...], directory: Path) -> Iterator[Path]:
    """What is put into a directory on Python's path is code, and with metadata beside it a plugin.

    What lies deeper is code in a package only, so a program may have its workspace below the directory that it is in.
    """
    for place in path:
        if lies_in(place, directory):
            yield place
        elif lies_in(directory, place):
            first = place / directory.relative_to(place).parts[0]
            if (first / "__init__.py").exists() or first.suffix in {".dist-info", ".egg-info"}:
                yield first


@lru_cache(maxsize=1)
def _code(path: tuple[Path, ...], prefix: str) -> tuple[Path, ...]:
    """``path`` and ``prefix`` are those of ``sys``, on which it depends."""
    import sysconfig

    installed = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    own = [prefix] if sys.prefix != sys.base_prefix else []  # a virtual environment is one program, whole
    return tuple(dict.fromkeys(map(_real, (*installed, *own, *_packages()))))


def _packages() -> Iterator[str]:
    """The packages, and the modules without one, of LLM OS and of all installed plugins."""
    from importlib.metadata import distributions

    names = {"llmos_core"}
    for distribution in distributions():
        with suppress(Exception):  # what has damaged metadata is no plugin
            entries = distribution.entry_points.select(group="llmos.plugins")
            names.update(entry.module.partition(".")[0] for entry in entries)
    for name in sorted(names):
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            continue  # what cannot be found is not run
        if spec is not None:
            yield from spec.submodule_search_locations or filter(None, [spec.origin])


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))

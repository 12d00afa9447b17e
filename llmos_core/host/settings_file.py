"""Finding and reading the settings file; what it holds is judged in ``settings.py``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from llmos_core.errors import SettingsError

FILE_NAME = "llmos.toml"


def read_settings(start: Path | None = None) -> tuple[Path | None, dict[str, Any]]:
    """The nearest ``llmos.toml`` at or above ``start``, else the user's ``config.toml``, and what it holds.

    Raises SettingsError for a file that cannot be read.
    """
    path = _nearest(start or Path.cwd()) or _of_user()
    return path, _read(path) if path else {}


def _nearest(start: Path) -> Path | None:
    for directory in (start, *start.parents):
        path = directory / FILE_NAME
        if path.is_file():
            return path
    return None


def _of_user() -> Path | None:
    from platformdirs import user_config_path

    path = user_config_path("llmos") / "config.toml"
    return path if path.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"The settings file {path} cannot be read.", str(error), "Correct the file, or move it away."
        ) from error

"""Finding and reading the settings files; what they hold is judged in ``settings.py``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmos_core.errors import SettingsError
from llmos_core.host.settings_sources import disabled, given

FILE_NAME = "llmos.toml"


def read_settings(start: Path | None = None) -> tuple[Path | None, dict[str, Any], dict[str, Any]]:
    """The nearest ``llmos.toml`` at or above ``start`` with what it holds, and what the user's own file holds.

    Without an ``llmos.toml`` the path is that of the user's file. Raises SettingsError for one that cannot be read.
    """
    path, own = _nearest(start or Path.cwd()), user_file()
    of_user = _read(own) if own.is_file() else {}
    return path or (own if of_user else None), _read(path) if path else {}, of_user


def disabled_names(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> set[str]:
    """The plugins that files, variables and flags disable: names, distributions or ids; ``*`` is every one.

    Costs no import of pydantic. Raises SettingsError where ``disabled_plugins`` is no list of names.
    """
    path, found, of_user = read_settings(start)
    return disabled([(str(user_file()), of_user), (str(path), found)], given(environ))


def choices(start: Path | None = None) -> dict[str, dict[str, Any]]:
    """The table ``[choose]`` of the files. Raises SettingsError where one holds something else than tables."""
    path, found, of_user = read_settings(start)
    for place, table in ((user_file(), of_user), (path, found)):
        chosen = table.get("choose", {})
        if not isinstance(chosen, dict) or not all(isinstance(names, dict) for names in chosen.values()):
            fix = 'Correct or remove it. For example: [choose] tools.Greet = "llmos-plugin-hello"'
            raise SettingsError(f"choose in {place}: must say by kind and name whose contribution counts.", fix=fix)
    return merged(of_user.get("choose", {}), found.get("choose", {}))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two settings as one: tables are merged, any other value of ``over`` wins."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            both[key] = merged(under[key], over[key])
    return both


def user_file() -> Path:
    """Where the user's own settings lie."""
    from platformdirs import user_config_path

    return user_config_path("llmos") / "config.toml"


def _nearest(start: Path) -> Path | None:
    for directory in (start, *start.parents):
        path = directory / FILE_NAME
        if path.is_file():
            return path
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(
            f"The settings file {path} cannot be read.", str(error), "Correct the file, or move it away."
        ) from error

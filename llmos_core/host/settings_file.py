"""Finding and reading the settings files; what they hold is judged in ``settings.py``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llmos_core.errors import SettingsError
from llmos_core.host.settings_sources import disabled, given

FILE_NAME = "llmos.toml"

HARMLESS = frozenset({"plugins", "limits.parallel_runs", "limits.first_byte_timeout_s", "limits.stall_timeout_s"})
"""The keys of the core that an ``llmos.toml`` may hold; of ``plugins``, their models say it.

All others can change what rules the agent, so a new key is the user's own unless it is named here.
"""


def read_found(start: Path | None = None) -> tuple[Path | None, dict[str, Any]]:
    """The nearest ``llmos.toml`` at or above ``start``, and what it holds. Raises SettingsError for a broken one."""
    start = start or Path.cwd()
    path = next((file for place in (start, *start.parents) if (file := place / FILE_NAME).is_file()), None)
    return path, _read(path) if path else {}


def read_own() -> dict[str, Any]:
    """What the user's own file holds. Raises SettingsError for one that cannot be read."""
    own = user_file()
    return _read(own) if own.is_file() else {}


def refuse(keys: Iterable[str], path: Path | None) -> None:
    """Raises SettingsError for keys in a found file that only the user's own may hold, if there are any."""
    if listed := ", ".join(keys):
        what = f"A setting stands in the wrong file: {listed}."
        why = (
            f"{path} may have come with a folder from anywhere, and this can start programs or loosen what guards you."
        )
        fix = f"Remove it. Only if you want it yourself, write it in {user_file()}."
        raise SettingsError(what, why, fix)


def not_harmless(found: Mapping[str, Any]) -> Iterator[str]:
    """The keys of the core in a found file that only the user's own may hold."""
    for key, value in found.items():
        keys = [f"limits.{name}" for name in value] if key == "limits" and isinstance(value, dict) else [key]
        yield from (key for key in keys if key not in HARMLESS)


def disabled_names(environ: Mapping[str, str] = os.environ) -> set[str]:
    """The plugins that the user disabled, in a file, variable or flag: names, distributions or ids; ``*`` is every one.

    Costs no import of pydantic. Raises SettingsError where ``disabled_plugins`` is no list of names.
    """
    return disabled([(str(user_file()), read_own())], given(environ))


def choices() -> dict[str, dict[str, Any]]:
    """The table ``[choose]`` of the user's file. Raises SettingsError where it holds something else than tables."""
    chosen: Any = read_own().get("choose", {})
    if not isinstance(chosen, dict) or not all(isinstance(names, dict) for names in chosen.values()):
        what = f"choose in {user_file()}: must say by kind and name whose contribution counts."
        raise SettingsError(what, fix='Correct or remove it. For example: [choose] tools.Greet = "llmos-plugin-hello"')
    return chosen


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


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(
            f"The settings file {path} cannot be read.", str(error), "Correct the file, or move it away."
        ) from error

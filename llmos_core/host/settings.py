"""Settings: read from ``llmos.toml`` files, validated by pydantic models, wrong ones named by file and key."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from llmos_core.errors import SettingsError
from llmos_core.host.settings_file import merged, read_settings, user_file
from llmos_core.records import Record

S = TypeVar("S", bound=BaseModel)


class ModelSettings(Record):
    """``[model]``: which provider answers; None means the first that is ready."""

    provider: str | None = None


class LimitSettings(Record):
    """``[limits]``: bounds of the kernel, times in seconds, sizes in bytes.

    ``parallel_runs`` is how many tasks run at once; others wait, by priority. ``first_byte_timeout_s`` and
    ``stall_timeout_s`` say how long a model may be silent before and within a reply. ``start_states`` is the number of
    runs whose state before and after is kept.
    """

    parallel_runs: int = Field(default=8, ge=1)
    first_byte_timeout_s: float = Field(default=600.0, gt=0)
    stall_timeout_s: float = Field(default=120.0, gt=0)

    guard_timeout_s: float = Field(default=5.0, gt=0)
    observer_timeout_s: float = Field(default=5.0, gt=0)
    start_states: int = Field(default=100, ge=1)
    start_state_max_files: int = Field(default=20_000, ge=0)
    start_state_max_bytes: int = Field(default=256 << 20, ge=0)


class Settings(Record):
    """All settings of the core. ``plugins`` holds each plugin's own table, validated by the plugin's model."""

    workspace: str | None = None
    memory: str | None = None
    disabled_plugins: tuple[str, ...] = ()
    model: ModelSettings = ModelSettings()
    limits: LimitSettings = LimitSettings()
    prices: dict[str, dict[str, float]] = Field(default_factory=dict)
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)


class SettingsFile(Record):
    """Settings and the file they came from; ``path`` is None for the defaults.

    ``found`` is what an ``llmos.toml`` says, which may have come with a folder from anywhere.
    """

    path: Path | None = None
    settings: Settings = Settings()
    found: dict[str, Any] = Field(default_factory=dict)


OWN: dict[str, Any] = {"own": True}
"""``json_schema_extra`` of a plugin's setting that only the user's own file may hold: it starts programs, say."""


def load_settings(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> SettingsFile:
    """``LLMOS_*`` variables over the nearest ``llmos.toml`` at or above ``start`` over the user's file over defaults.

    Raises SettingsError for a file that cannot be read or holds an unknown or wrong key.
    """
    path, found, of_user = read_settings(start)
    validated(Settings, of_user, user_file(), ())
    settings = validated(Settings, merged(_placed(of_user, user_file()), _placed(found, path)), path, ())
    if provider := environ.get("LLMOS_PROVIDER"):
        settings = settings.model_copy(update={"model": ModelSettings(provider=provider)})
    return SettingsFile(path=path, settings=settings, found=found)


def _placed(layer: dict[str, Any], file: Path | None) -> dict[str, Any]:
    """A layer whose workspace is relative to the file that names it."""
    named = layer.get("workspace")
    if file is None or not isinstance(named, str) or named.startswith("~"):
        return layer
    return {**layer, "workspace": str(file.parent / named)}


def check_own(kind: type[BaseModel], name: str, file: SettingsFile) -> None:
    """Raises SettingsError where a found file holds a setting of a plugin that only the user's own may hold."""
    table = file.found.get("plugins", {}).get(name, {})
    for key, field in kind.model_fields.items():
        if key in table and field.json_schema_extra == OWN:
            raise SettingsError(
                f"A setting stands in the wrong file: plugins.{name}.{key}",
                f"{file.path} may have come with a folder from anywhere, and this key could start programs.",
                f"Move it to your own settings: {user_file()}",
            )


def validated(kind: type[S], data: Mapping[str, Any], path: Path | None, section: Sequence[str]) -> S:
    """``data`` as settings of a kind, or a SettingsError that names file and key."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in (*section, *first["loc"]))
        problem = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"]
        raise SettingsError(
            f"A setting is wrong: {key}", f"{path or 'the environment'}: {problem}.", "Correct or remove the key."
        ) from error

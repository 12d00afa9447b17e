"""Settings: read from ``llmos.toml`` files, validated by pydantic models, wrong ones named by file and key."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from llmos_core.errors import SettingsError
from llmos_core.host.settings_file import read_settings
from llmos_core.records import Record

S = TypeVar("S", bound=BaseModel)


class ModelSettings(Record):
    """``[model]``: which provider answers; None means the first that is ready."""

    provider: str | None = None


class LimitSettings(Record):
    """``[limits]``: bounds of the kernel, times in seconds, sizes in bytes.

    ``start_states`` is the number of runs whose start state is kept.
    """

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
    """Settings and the file they came from; ``path`` is None for the defaults."""

    path: Path | None = None
    settings: Settings = Settings()


def load_settings(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> SettingsFile:
    """The nearest ``llmos.toml`` at or above ``start``, else the user's, else the defaults; then ``LLMOS_*`` variables.

    Raises SettingsError for a file that cannot be read or holds an unknown or wrong key.
    """
    path, data = read_settings(start)
    settings = validated(Settings, data, path, ())
    if provider := environ.get("LLMOS_PROVIDER"):
        settings = settings.model_copy(update={"model": ModelSettings(provider=provider)})
    return SettingsFile(path=path, settings=settings)


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

"""Settings: files, variables and flags as one, judged by models: the core's own, and one of each plugin."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from llmos_core.errors import SettingsError
from llmos_core.host.settings_check import check, fields_in, joined, judged, names_in, secrets_of
from llmos_core.host.settings_file import merged, not_harmless, read_found, read_own, refuse, user_file
from llmos_core.host.settings_sources import FLAG, PREFIX, Given, disabled, folded, given, read_text
from llmos_core.records import Record

__all__ = ["OWN", "Settings", "SettingsFile", "load_settings", "plugin_settings", "secrets_of", "validated"]

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

    plugin_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    guard_timeout_s: float = Field(default=5.0, gt=0)
    observer_timeout_s: float = Field(default=5.0, gt=0)
    start_states: int = Field(default=100, ge=1)
    start_state_max_files: int = Field(default=20_000, ge=0)
    start_state_max_bytes: int = Field(default=256 << 20, ge=0)


class Settings(Record):
    """All settings of the core. ``plugins`` holds each plugin's own table, validated by the plugin's model.

    An ``llmos.toml`` may hold ``plugins``, and of ``limits`` ``parallel_runs``, ``first_byte_timeout_s`` and
    ``stall_timeout_s``; all else can change what rules the agent, and may stand in the user's own file only.

    ``disabled_plugins`` unites what all sources name; ``*`` is every plugin. ``choose`` says by kind and name whose
    contribution counts where several plugins bring one (``tools.Greet = "llmos-plugin-a"``).
    """

    workspace: str | None = None
    memory: str | None = None
    disabled_plugins: tuple[str, ...] = ()
    model: ModelSettings = ModelSettings()
    limits: LimitSettings = LimitSettings()
    choose: dict[str, dict[str, str]] = Field(default_factory=dict)
    prices: dict[str, dict[str, float]] = Field(default_factory=dict)
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)


class SettingsFile(Record):
    """Settings and where they came from; ``path`` is the nearest file, None for the defaults.

    ``found`` is what an ``llmos.toml`` says, which may have come with a folder from anywhere. ``files`` are the tables
    of all files with their paths, ``texts`` what variables and flags say: the settings of plugins are made of both.
    """

    path: Path | None = None
    settings: Settings = Settings()
    found: dict[str, Any] = Field(default_factory=dict, repr=False)
    files: tuple[tuple[str, dict[str, Any]], ...] = Field(default=(), repr=False)
    texts: tuple[Given, ...] = ()


OWN: dict[str, Any] = {"own": True}
"""``json_schema_extra`` of a plugin's setting that only the user's own file may hold: it starts programs, say.

Variables and flags are the user's own too. In a found file no key of that name may stand anywhere in the section.
"""


def load_settings(
    start: Path | None = None, environ: Mapping[str, str] = os.environ, *, nearest: bool = True
) -> SettingsFile:
    """The settings: ``--set`` over ``LLMOS_*`` over the nearest ``llmos.toml`` over the user's file over defaults.

    The nearest file is the one at or above ``start``; without ``nearest`` it is passed over. Raises SettingsError for
    a file that cannot be read, an unknown key, a wrong value, and for what an ``llmos.toml`` may not hold.
    """
    path, found = read_found(start) if nearest else (None, {})
    own, of_user = user_file(), read_own()
    tables = ((own, _placed(of_user, own)), (path, found))
    files = tuple((str(place), table) for place, table in tables if table)
    path = path or (own if of_user else None)
    file = SettingsFile(path=path, found=found, files=files, texts=tuple(filter(_is_key, given(environ))))
    names = disabled(files, file.texts)
    for layer in files:
        check(Settings, [layer])  # what is wrong in a file stays wrong where something else goes before it
    refuse(not_harmless(found), path)
    settings = check(Settings, layers_of(Settings, (), file))
    update = {"settings": settings.model_copy(update={"disabled_plugins": tuple(sorted(names))})}
    return file.model_copy(update=update)


def plugin_settings(kind: type[S], name: str, file: SettingsFile) -> S:
    """The settings of a plugin, from all sources. Raises SettingsError, also for what a found file may not hold."""
    check_own(kind, name, file)
    return check(kind, layers_of(kind, ("plugins", name), file), ("plugins", name))


def check_own(kind: type[BaseModel], name: str, file: SettingsFile) -> None:
    """Raises SettingsError where a found file holds a setting of a plugin that only the user's own may hold."""
    own: set[str] = set()
    for field, info in fields_in(kind):
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("own"):
            own |= {field, *re.findall(r"'([^']+)'", repr(info.validation_alias))}  # which may be several
    section = ("plugins", name)
    refuse((".".join(key) for key in _keys(_table_at(file.found, section), section) if key[-1] in own), file.path)


def unknown_plugins(file: SettingsFile, known: Collection[str]) -> Sequence[str]:
    """The plugins that files hold settings for, and that are not among the known.

    Raises SettingsError where a variable or a flag names one: it names no key at all.
    """
    for text in file.texts:
        if text.path[0] == "plugins" and folded(text.path[1]) not in map(folded, known):
            why = f"There is no plugin {text.path[1]}."
            raise SettingsError(f"{text.source} names no key.", why, "Install the plugin, or take this away.")
    return sorted(set(file.settings.plugins) - set(known))


def layers_of(kind: type[BaseModel], section: Sequence[str], file: SettingsFile) -> list[tuple[str, dict[str, Any]]]:
    """What each source says of a section, weakest first; texts are read as the kind of the section demands."""
    files = file.files or [(str(file.path), {"plugins": file.settings.plugins})]
    layers = [(source, below) for source, table in files if (below := _table_at(table, section))]
    names, depth = names_in(kind), len(section)
    for text in file.texts:
        # The core leaves the settings of plugins to them.
        if (section or text.path[0] != "plugins") and _folded(text.path[:depth]) == _folded(section):
            data = joined(layers)
            path = _spelt(text.path[depth:], data, names)
            layers.append((text.source, _nested(path, _value(kind, data, path, text))))
    return layers


def _is_key(text: Given) -> bool:
    """False for a variable of another use. Raises SettingsError for a plugin's that names no key of it."""
    if text.path[0] == "plugins" and len(text.path) < 3:
        raise SettingsError(f"{text.source} names no key.", fix=f"Name one: {PREFIX}PLUGINS__NAME__KEY=VALUE")
    return len(text.path) > 1 or text.source == FLAG or text.path[0] in Settings.model_fields


def _folded(path: Sequence[str]) -> list[str]:
    return [folded(part) for part in path]


def _spelt(path: Sequence[str], data: Any, names: Collection[str]) -> tuple[str, ...]:
    """The path in the spelling of the keys that are there."""
    spelt: list[str] = []
    for part in path:
        table = data if isinstance(data, dict) else {}
        known = [*table, *names]
        same = (name for name in known if folded(name) == folded(part))
        spelt.append(part if part in known else next(same, part))
        data = table.get(spelt[-1])
    return tuple(spelt)


def _value(kind: type[BaseModel], data: dict[str, Any], path: tuple[str, ...], text: Given) -> Any:
    """A text as the type of its field demands: itself if that will do, else what it says as JSON or TOML."""
    if path == ("disabled_plugins",):
        return sorted(disabled((), [text]))
    if text.source == "LLMOS_WORKSPACE":
        return str(Path(text.text).expanduser().absolute())
    for value in (text.text, read_text(text.text)):
        _, errors = judged(kind, merged(data, _nested(path, value)))
        if not any(error["loc"][: len(path)] == path for error in errors):
            break
    return value


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def _table_at(table: Any, section: Sequence[str]) -> dict[str, Any]:
    for part in section:
        table = table.get(part) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def _placed(layer: dict[str, Any], file: Path) -> dict[str, Any]:
    """A layer whose workspace is relative to the file that names it."""
    named = layer.get("workspace")
    if not isinstance(named, str) or named.startswith("~"):
        return layer
    return {**layer, "workspace": str(file.parent / named)}


def _keys(value: Any, above: Sequence[str]) -> Iterator[Sequence[str]]:
    """The paths of all keys within tables and lists."""
    for item in value if isinstance(value, list) else ():
        yield from _keys(item, above)
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield (*above, key)
        yield from _keys(inner, (*above, key))


def validated(kind: type[S], data: Mapping[str, Any], section: Sequence[str]) -> S:
    """``data`` as settings of a kind, or a SettingsError that names the key; an ``llmos.toml`` cannot hold it."""
    return check(kind, [("your own settings", data)], section)

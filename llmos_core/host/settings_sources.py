"""Where settings come from: files lie under variables, and variables under flags. Nothing here imports pydantic."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from llmos_core.errors import SettingsError

FLAG = "--set"
PREFIX = "LLMOS_"
SHORT = {"LLMOS_PROVIDER": ("model", "provider"), "LLMOS_NO_PLUGINS": ("disabled_plugins",)}
"""Variables with a name of their own."""

given_flags: ContextVar[Sequence[str]] = ContextVar("given_flags", default=())
"""The ``KEY=VALUE`` of each ``--set`` of the command line."""

Layers = Sequence[tuple[str, Mapping[str, Any]]]
"""Tables with their sources; a later one goes before an earlier one."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as a variable or a flag gives it: text, to be read as the type of its field demands."""

    path: tuple[str, ...]
    text: str = field(repr=False)
    source: str


def given(environ: Mapping[str, str]) -> Iterator[Given]:
    """What variables and flags say, weakest first. An empty variable says nothing.

    Raises SettingsError for a flag that is no ``KEY=VALUE``.
    """
    ours = sorted(name for name in environ if name.startswith(PREFIX) and name not in SHORT)
    long = {name: tuple(name.removeprefix(PREFIX).lower().split("__")) for name in ours}
    for name, path in {**SHORT, **long}.items():
        if text := environ.get(name):
            yield Given(path, text, name)
    for flag in given_flags.get():
        key, sign, text = flag.partition("=")
        path = _path(key) if sign else ()
        if not path:
            # The value may be a secret: it is not quoted.
            raise SettingsError(f"{FLAG} needs KEY=VALUE.", fix=f"For example: {FLAG} limits.parallel_runs=2")
        if path == ("workspace",):
            raise SettingsError(f"The workspace is not set by {FLAG}.", fix="Use: --workspace DIR")
        yield Given(path, text, FLAG)


def _path(key: str) -> tuple[str, ...]:
    """The parts of a dotted key, which may be quoted as in TOML; none where it is no key."""
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except (tomllib.TOMLDecodeError, RecursionError):
        return ()
    path: list[str] = []
    while isinstance(table, dict) and table:
        name, table = next(iter(table.items()))
        path.append(name if path else folded(name))
    return tuple(path)


def dotted(path: Iterable[str]) -> str:
    """The parts of a key as one, quoted where TOML demands it."""
    return ".".join(part if re.fullmatch(r"[\w-]+", part, re.ASCII) else json.dumps(part) for part in path)


def folded(name: str) -> str:
    """A name as a variable can spell it."""
    return name.lower().replace("-", "_")


def read_text(text: str) -> Any:
    """What a text says as JSON, else as a value of TOML; itself where it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            return text


def source_of(layers: Layers, path: Sequence[str]) -> str | None:
    """The source of the value that counts at a path; None for a default."""
    for source, layer in reversed(layers):
        table: Any = layer
        for part in path:
            if not isinstance(table, dict):
                return source
            if part not in table:
                break
            table = table[part]
        else:
            return source
    return None


def disabled(layers: Layers, texts: Iterable[Given]) -> set[str]:
    """The names in every ``disabled_plugins``, united; all plugins are ``*``. Raises SettingsError for another form."""
    names: set[str] = set()
    for source, table in layers:
        listed = table.get("disabled_plugins", [])
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise SettingsError(f"disabled_plugins in {source}: must be a list of names.", fix="Correct or remove it.")
        names.update(listed)
    for text in texts:
        if text.path == ("disabled_plugins",):
            named = set(re.findall(r"[^\s,\[\]\"']+", text.text))
            names |= {"*"} if named & {"1", "all"} else named
    return names

"""Changing the user's own settings file: comments, order and all that is not asked about stay as they are."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmos_core import LLMOSError, write_atomic

Changes = Mapping[tuple[str, ...], str | bool | None]
"""New values by the path of their key; None removes the key."""


def changed(text: str, changes: Changes, path: Path) -> str:
    """The text of the settings file ``path`` with the changes.

    Raises LLMOSError where it is written in a way that cannot be changed safely.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = tomllib.loads(text)
    try:
        _apply(wanted, changes, dict)
        document = tomlkit.parse(text)
        _apply(document, changes, tomlkit.table)
        new = tomlkit.dumps(document)
        if tomllib.loads(new) == wanted:
            return new
    except (TOMLKitError, tomllib.TOMLDecodeError, TypeError) as error:
        reason = str(error)
    else:
        reason = "Its tables are written in an unusual way."
    lines = ", ".join(f"{'.'.join(key)} = {_toml(value)}" for key, value in changes.items() if value is not None)
    raise LLMOSError(f"The settings file {path} cannot be changed.", reason, f"Write by hand: {lines}")


def write(path: Path, text: str) -> None:
    """Put the text in the place of the settings file, or of what a link in its place leads to. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    write_atomic(target, text.encode(), mode)


def _apply(document: Any, changes: Changes, make_table: Any) -> None:
    for (*tables, name), value in changes.items():
        place = document
        for depth, table in enumerate(tables):
            if table not in place:
                if value is None:
                    break
                # A table of tables alone gets no header of its own.
                nested = depth + 1 < len(tables) and make_table is not dict
                place[table] = make_table(is_super_table=True) if nested else make_table()
            place = place[table]
        else:
            if value is None:
                place.pop(name, None)
            else:
                place[name] = value


def _toml(value: str | bool | None) -> str:
    import tomlkit

    return tomlkit.item(value).as_string()

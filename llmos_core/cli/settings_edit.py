"""Changing the user's own settings file: comments, order and all that is not asked about stay as they are."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos_core.errors import SettingsError
from llmos_core.files import write_atomic
from llmos_core.host.settings_file import user_file

Changes = Mapping[tuple[str, ...], str | bool | float | Sequence[str] | None]
"""New values by the path of their key; None removes the key."""


def change_user_settings(changes: Changes, *, write: bool = True) -> tuple[str, str]:
    """Change the user's own settings file, and give its text before and after.

    Without ``write`` it is only tried. Raises SettingsError where the file is written in a way that cannot be changed
    safely (then nothing is written), OSError where it cannot be read or written.
    """
    path = user_file().resolve()  # a link in its place stays
    before = path.read_text("utf-8") if path.exists() else ""
    after = changed(before, changes, path)
    if write and after != before:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, after.encode(), stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644)
    return before, after


def changed(text: str, changes: Changes, path: Path) -> str:
    """The text of the settings file ``path`` with the changes. Raises SettingsError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        wanted = tomllib.loads(text)
        _apply(wanted, changes, dict)
        document = tomlkit.parse(text)
        _apply(document, changes, tomlkit.table)
        new = tomlkit.dumps(document)
        if tomllib.loads(new) == wanted:
            return new
    except (TOMLKitError, tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        reason = str(error)
    else:
        reason = "Its tables are written in an unusual way."
    new_lines = [
        (".".join(key), tomlkit.item(value).as_string()) for key, value in changes.items() if value is not None
    ]
    lines = ", ".join(f"{key} = {value}" for key, value in new_lines)
    raise SettingsError(f"The settings file {path} cannot be changed.", reason, f"Write by hand: {lines}")


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
            elif isinstance(value, Sequence) and not isinstance(value, str):
                _fill(place.setdefault(name, []), value)
            else:
                place[name] = value


def _fill(items: Any, wanted: Sequence[str]) -> None:
    """Make a list hold what is wanted; what stays keeps its place, and its comment."""
    for gone in [item for item in items if item not in wanted]:
        items.remove(gone)
    items.extend(item for item in wanted if item not in items)

"""What the last boot saw of each plugin, so that listing plugins can tell it and need not import them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

from llmos_core.host.plugins import PluginInfo

_NOT_LOADED = ("metadata", "name")
"""The stages at which a plugin was not even tried."""

_SEEN = ("state", "stage", "error", "fix", "hooks", "contributions")


def remember(infos: Sequence[PluginInfo]) -> None:
    """Keep what a boot saw, where it differs from what is kept. It is a cache: where it cannot be kept, nothing is."""
    tried = [info for info in infos if info.hooks is not None or (info.state == "broken" and info.stage != "metadata")]
    seen = {_key(info): {name: getattr(info, name) for name in _SEEN} for info in tried}
    loaded = _together(info for info in tried if info.stage not in _NOT_LOADED)
    text = json.dumps({"together": loaded, "seen": seen}, sort_keys=True)
    with contextlib.suppress(OSError):
        if _read() == json.loads(text):
            return
        from llmos_core.files import write_atomic

        _file().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_file(), text.encode())


def recall(infos: Sequence[PluginInfo]) -> list[PluginInfo]:
    """The plugins of a survey with what the last boot saw of those that may be loaded."""
    kept = _read()
    same = kept.get("together") == _together(info for info in infos if info.state == "ok")
    return [_with(info, kept, same) if info.state == "ok" else info for info in infos]


def _with(info: PluginInfo, kept: dict[str, Any], same: bool) -> PluginInfo:
    try:
        seen = {name: kept["seen"][_key(info)][name] for name in _SEEN}
        if seen["hooks"] is not None:
            seen["hooks"] = tuple(seen["hooks"])
            seen["contributions"] = {kind: tuple(names) for kind, names in seen["contributions"].items()}
    except (KeyError, TypeError, AttributeError):
        return info  # nothing was seen of it, or the file was damaged
    if seen["stage"] in _NOT_LOADED or (seen["state"] == "conflict" and not same):
        # It may be loaded now, or whom it was in conflict with may be gone.
        seen |= {"state": "ok", "stage": None, "error": None, "fix": ""}
    return replace(info, **seen)


def _key(info: PluginInfo) -> str:
    return f"{info.found.place}|{info.id}|{info.version}|{info.found.value}"


def _together(infos: Iterable[PluginInfo]) -> list[str]:
    return sorted(_key(info) for info in infos)


def _file() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("llmos") / f"plugins-{crc32(sys.prefix.encode()):08x}.json"


def _read() -> dict[str, Any]:
    try:
        kept = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}

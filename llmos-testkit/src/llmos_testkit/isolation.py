"""What a test must not see of the machine it runs on: settings, credentials and variables of its user."""

from __future__ import annotations

import os
import site
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_SHUT_OUT = ("ANTHROPIC_", "CLAUDE", "LLMOS_", "XDG_")
_PLACES = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".data",
    "XDG_CACHE_HOME": ".cache",
    "XDG_STATE_HOME": ".state",
}


def clean_environment(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """An environment whose user has nothing but this home: no settings, no key, no setting of LLM OS."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_SHUT_OUT)}
    # Packages that the real user installed for themselves stay importable.
    base = environ.get("PYTHONUSERBASE") or site.getuserbase()
    places = {name: str(home / folder) for name, folder in _PLACES.items()}
    return {**kept, **places, "HOME": str(home), "USERPROFILE": str(home), "PYTHONUSERBASE": base}


def isolate(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shut the user out of this process, until the end of the test."""
    clean = clean_environment(home, os.environ)
    for name in os.environ.keys() - clean.keys():
        monkeypatch.delenv(name)
    for name, value in clean.items():
        monkeypatch.setenv(name, value)

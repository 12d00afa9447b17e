"""The environment that commands see: named variables only, so that no credential can be inherited."""

from __future__ import annotations

import os
from collections.abc import Mapping

KEPT = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"})

FIXED = {
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "PYTHONDONTWRITEBYTECODE": "1",  # a __pycache__ would differ between a run and its replay
    "PYTHONHASHSEED": "0",  # so would the order of a set
    "TERM": "dumb",
}


def command_environment(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for a command, taken from ``source`` by name (and ``LC_*``), with ours on top."""
    kept = {name: value for name, value in source.items() if name in KEPT or name.startswith("LC_")}
    return {"PATH": os.defpath, **kept, **FIXED}

"""The environment that commands see: named variables only, so that no credential can be inherited."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

KEPT = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"})

CERTIFICATES = frozenset(
    {
        *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT"),
        *("GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"),
    }
)
"""Kept if they name a file that can be read and holds no private key."""

ADDRESSES = frozenset(
    {
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
        *("UV_DEFAULT_INDEX", "npm_config_registry"),
    }
)
"""Kept unless they hold a credential."""

FIXED = {
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "PYTHONDONTWRITEBYTECODE": "1",  # a __pycache__ would differ between a run and its replay
    "PYTHONHASHSEED": "0",  # so would the order of a set
    "TERM": "dumb",
}

_CREDENTIAL = re.compile("[@?]")
"""What an address with a name and a password, or with a token in its query, holds."""

_LINKS = "PIP_FIND_LINKS"


def command_environment(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for a command, taken from ``source`` by name (and ``LC_*``), with ours on top."""
    kept = {name: value for name, value in source.items() if _is_kept(name, value)}
    return {"PATH": os.defpath, **kept, **FIXED}


def named_places(source: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """The files and directories that the kept variables name, for commands to read."""
    for name in sorted(CERTIFICATES | {_LINKS}):
        value = source.get(name, "")
        if _is_kept(name, value):
            given = value.split() if name == _LINKS else [value]
            named = (Path(one.removeprefix("file://")) for one in given)
            yield from (place for place in named if place.is_absolute())


def _is_kept(name: str, value: str) -> bool:
    if name in CERTIFICATES:
        return Path(value).is_absolute() and _is_public(Path(value))
    if name in ADDRESSES:
        return _CREDENTIAL.search(value) is None
    return name in KEPT or name.startswith("LC_")


def _is_public(certificates: Path) -> bool:
    try:
        return certificates.is_file() and not _holds_key(certificates, certificates.stat().st_mtime_ns)
    except OSError:
        return False  # what we cannot read is of no use to a command


@lru_cache(maxsize=16)
def _holds_key(certificates: Path, changed_ns: int) -> bool:
    """``changed_ns``: when the file was last changed, so that it is read again then."""
    return b"PRIVATE KEY" in certificates.read_bytes()

"""The API key: of the environment, else of a file beside the user's settings that only its owner can read."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from llmos_core import SettingsError, UsageError, user_file, write_atomic

VARIABLE = "ANTHROPIC_API_KEY"

_USABLE = re.compile(r"[!-~]+")
_TABLE, _NAME = "anthropic", "api_key"


def credentials_file() -> Path:
    """Where ``llmos init`` stores a key."""
    return user_file().with_name("credentials.toml")


def key_of(environ: Mapping[str, str]) -> str:
    """The key of the environment; empty without one. Raises UsageError for one that cannot be used."""
    key = environ.get(VARIABLE, "").strip()
    # A malformed key would be quoted in the error of the HTTP client.
    if key and not _USABLE.fullmatch(key):
        raise UsageError(f"{VARIABLE} holds a character that no key has.", fix="Correct or unset it.")
    return key


def read_key(path: Path) -> str:
    """The stored key; empty without one. Raises SettingsError for a file that is not private, or broken."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise SettingsError(
                    f"The file {path} is not private.",
                    f"Others than its owner may use it (mode {mode:03o}), and it holds your API key.",
                    f"Make it private: chmod 600 {path}",
                )
            data = tomllib.loads(file.read().decode())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        # What the error quotes could be a piece of the key.
        reason = error.strerror if isinstance(error, OSError) else "it is no TOML"
        raise SettingsError(
            f"The file {path} cannot be read.", f"{reason}.", "Store the key anew: llmos init"
        ) from None
    table = data.get(_TABLE, {})
    key = table.get(_NAME, "") if isinstance(table, dict) else None
    if not isinstance(key, str) or (key and not _USABLE.fullmatch(key)):
        fix = "Store the key anew: llmos init"
        raise SettingsError(f"The file {path} holds no usable key.", f"[{_TABLE}] {_NAME} must be its text.", fix)
    return key


def store_key(path: Path, key: str) -> None:
    """Put a key in the file, which only its owner can read; what else it holds stays.

    Raises SettingsError if the file is broken, OSError if it cannot be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
        document.setdefault(_TABLE, tomlkit.table())[_NAME] = key
    except (TOMLKitError, TypeError, UnicodeDecodeError):
        raise SettingsError(f"The file {path} is broken.", "The key was not stored.", "Move the file away.") from None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(path.resolve(), tomlkit.dumps(document).encode(), mode=0o600)


def checked_key(text: str, *, public: bool) -> str:
    """A key as a user gives it, without the blanks around it.

    Raises UsageError for what cannot be one. ``public`` says that it is for the public API, whose keys have a form.
    """
    key = text.strip()
    if not key:
        raise UsageError("No key was given.", fix="Copy it from the console of the provider.")
    if not _USABLE.fullmatch(key):
        raise UsageError("The key holds a character that no key has.", "Was more than the key given?", "Copy it again.")
    if key.startswith("sk-ant-oat"):
        why, fix = "It is the token of a subscription.", "Set CLAUDE_CODE_OAUTH_TOKEN to it, then: llmos init --login"
        raise UsageError("This is no API key.", why, fix)
    if public and not (key.startswith("sk-ant-api") and len(key) > 20):
        raise UsageError(
            "This is no API key.", "The keys of the Anthropic API begin with sk-ant-api.", "Copy it again."
        )
    return key

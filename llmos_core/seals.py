"""Seals: what this user made on this machine can be told from what came with a folder.

A seal is an HMAC-SHA256 with a key that lies in the user's data directory, which only the user can read.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from llmos_core.errors import LLMOSError
from llmos_core.files import write_atomic

_KEY_BYTES = 32


def seal(data: bytes) -> str:
    """The user's seal of some bytes, as hex digits. Say in the bytes what they are: a seal fits no other purpose.

    The key is made with the first seal, and anew where what lies in its place is none: seals made before are then
    nobody's. Raises LLMOSError where it can be neither read nor made.
    """
    try:
        return _seal(_key() or _new_key(), data)
    except OSError as error:
        why = f"The key for it, {_path()}, can be neither read nor made: {error.strerror}."
        raise LLMOSError("Nothing can be sealed.", why, "Make that place one that you can read and write.") from error


def is_sealed(data: bytes, seal: str) -> bool:
    """Whether a seal is this user's, and of these bytes. While the key cannot be read, none is."""
    try:
        key = _key()
    except OSError:
        return False
    return key is not None and hmac.compare_digest(_seal(key, data).encode(), seal.encode())


def _seal(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, "sha256").hexdigest()


def _path() -> Path:
    from platformdirs import user_data_path

    return user_data_path("llmos") / "seal.key"


def _key() -> bytes | None:
    path = _path()
    key = path.read_bytes() if path.is_file() else b""
    return key if len(key) == _KEY_BYTES else None


def _new_key() -> bytes:
    """Made once: of two that make the first at the same time, one counts for both."""
    import secrets

    path, key = _path(), secrets.token_bytes(_KEY_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_atomic(draft, key, mode=0o600)
    try:
        os.link(draft, path)
    except FileExistsError:
        if (theirs := _key()) is not None:
            return theirs
        draft.replace(path)  # what lies there is no key
    finally:
        draft.unlink(missing_ok=True)
    return key

"""What is kept of a server's tools: their definitions as they were when the user last looked at them.

A server could show one definition to the user and another to the model later. So models see what is kept here, and a
tool whose definition is no longer the same is not called.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from difflib import unified_diff
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from pydantic import Field, ValidationError

from llmos_core import LLMOSError, Record, write_atomic
from llmos_plugin_mcp.settings import Server

_RETRY_AFTER = timedelta(minutes=10)


class Definition(Record):
    """A tool as its server describes it. ``annotations`` are the server's claims about it."""

    name: str
    title: str | None = None
    description: str = ""
    input_schema: dict[str, Any]
    annotations: dict[str, Any] = Field(default_factory=dict)

    @property
    def claims(self) -> str:
        """What the server says of the tool's effect, in words; empty if nothing."""
        words = {"readOnlyHint": "reads only", "destructiveHint": "destroys", "idempotentHint": "may be repeated"}
        return ", ".join(word for key, word in words.items() if self.annotations.get(key) is True)


class Listing(Record):
    """The tools of a server. ``refused`` says why some of them cannot be used, by name."""

    server: str
    about: str = ""
    listed_at: datetime
    tools: tuple[Definition, ...]
    refused: dict[str, str] = Field(default_factory=dict)


class _Failure(Record):
    at: datetime
    what: str
    why: str
    fix: str


def load(name: str, server: Server) -> Listing | None:
    """What is kept of a server; None if it was never looked at.

    Raises LLMOSError for a file that cannot be read: it is not trusted anew in silence.
    """
    try:
        return Listing.model_validate_json(_path(name, server).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise LLMOSError(
            f"What is kept of the MCP server {name} cannot be read.",
            f"{_path(name, server)}: {' '.join(str(error).split())[:200]}",
            f"Look at its tools anew: llmos mcp refresh {name}",
        ) from error


def save(name: str, server: Server, listing: Listing) -> None:
    """Keep a listing, durably."""
    _write(_path(name, server), listing)
    _failure_path(name, server).unlink(missing_ok=True)


def failed(name: str, server: Server, error: LLMOSError) -> None:
    """Remember that a server could not be listed, so that not every start of a system waits for it again."""
    now = datetime.now(UTC)
    _write(_failure_path(name, server), _Failure(at=now, what=error.what, why=error.why, fix=error.fix))


def recent_failure(name: str, server: Server) -> LLMOSError | None:
    """Why a server could not be listed a short while ago."""
    try:
        failure = _Failure.model_validate_json(_failure_path(name, server).read_bytes())
    except (OSError, ValidationError):
        return None
    if not timedelta() <= datetime.now(UTC) - failure.at < _RETRY_AFTER:
        return None
    return LLMOSError(failure.what, failure.why, failure.fix)


def changes(kept: Listing | None, now: Listing) -> dict[str, str]:
    """The tools that are new, gone or different, each with its definitions as a unified diff."""
    before = {tool.name: tool for tool in kept.tools} if kept else {}
    after = {tool.name: tool for tool in now.tools}
    names = [*before, *(name for name in after if name not in before)]
    return {name: _diff(before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def what_changed(kept: Definition, now: Definition) -> str:
    """The parts of a definition that are no longer the same, in words; empty if all are."""
    words = {"description": "description", "input_schema": "input schema", "annotations": "annotations"}
    words |= {"title": "title"}
    return ", ".join(word for field, word in words.items() if getattr(kept, field) != getattr(now, field))


def _diff(before: Definition | None, after: Definition | None) -> str:
    return "\n".join(unified_diff(_lines(before), _lines(after), "kept", "now", lineterm=""))


def _lines(definition: Definition | None) -> list[str]:
    if definition is None:
        return []
    return json.dumps(definition.model_dump(), indent=2, ensure_ascii=False, sort_keys=True).splitlines()


def _write(path: Path, record: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(path, record.model_dump_json(indent=2).encode(), mode=0o600)


def _path(name: str, server: Server) -> Path:
    return user_data_path("llmos") / "mcp" / f"{name}-{_digest(server)}.json"


def _failure_path(name: str, server: Server) -> Path:
    return _path(name, server).with_suffix(".failed")


def _digest(server: Server) -> str:
    """Names what is started or spoken to: another program is another server. Secrets are no part of it."""
    told: Mapping[str, Any] = {
        "command": server.command,
        "args": server.args,
        "cwd": server.cwd,
        "url": server.url,
        "env": sorted(server.env),
        "headers": sorted(server.headers),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

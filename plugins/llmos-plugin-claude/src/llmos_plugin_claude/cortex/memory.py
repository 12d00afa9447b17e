"""The conversation of a run, kept so that a later run can go on with it. Imports no SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, ValidationError

from llmos_core import LLMOSError, Notice, Run, UsageError, write_atomic
from llmos_plugin_claude.cortex.reply import Block

FILE = "conversation.json"
MAX_BYTES = 16 << 20
"""The longest conversation kept, in bytes."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: str
    content: list[dict[str, Any]]


class _Conversation(BaseModel):
    messages: list[_Message]


async def opened(run: Run, prompt: str) -> list[Block]:
    """The messages to begin with: those of the run that the task continues, if it does, and the prompt.

    Raises UsageError where that run's conversation is not kept.
    """
    said = {"type": "text", "text": prompt}
    messages = await to_thread.run_sync(_load, run, run.task.continues) if run.task.continues else []
    if messages and messages[-1]["role"] == "user":
        # Not every server takes two messages of one role.
        return [*messages[:-1], {"role": "user", "content": [*messages[-1]["content"], said]}]
    return [*messages, {"role": "user", "content": [said]}]


async def keep(run: Run, messages: list[Block]) -> None:
    """Keep a conversation. Calls at its end that have no results are left out: nobody could go on from there."""
    if messages[-1]["role"] == "assistant" and any(block["type"] == "tool_use" for block in messages[-1]["content"]):
        messages = messages[:-1]
    data = json.dumps({"messages": messages}, separators=(",", ":")).encode()
    if len(data) > MAX_BYTES:
        _tell(run, f"it is longer than {MAX_BYTES >> 20} MiB.")
        return
    try:
        await to_thread.run_sync(lambda: write_atomic(run.files / FILE, data, mode=0o600))
    except (LLMOSError, OSError) as error:
        _tell(run, " ".join(str(error).split()))


def _tell(run: Run, problem: str) -> None:
    run.emit(Notice(level="warning", text=f"The conversation is not kept, --continue will not work: {problem}"))


def _load(run: Run, run_id: str) -> list[Block]:
    try:
        if Path(run_id).name != run_id or run_id == "..":
            raise FileNotFoundError(run_id)
        data = (run.files_of(run_id) / FILE).read_bytes()
    except OSError as error:
        why = "There is no such run, it is too old, it asked no model, or the Claude Agent SDK ran it."
        fix = 'Run without --continue. What the SDK ran goes on with [plugins.claude] engine = "sdk".'
        raise UsageError(f"The conversation of run {run_id} cannot be gone on with.", why, fix) from error
    try:
        return [message.model_dump() for message in _Conversation.model_validate_json(data).messages]
    except ValidationError as error:
        what, why = f"The conversation of run {run_id} cannot be gone on with.", "Its file is damaged."
        raise UsageError(what, why, "Run without --continue.") from error

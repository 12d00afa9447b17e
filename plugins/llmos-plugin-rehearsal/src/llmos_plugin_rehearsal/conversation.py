"""What a Messages request says about the conversation so far."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Self

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came back for one tool call. ``tool`` is the name under which it was called."""

    tool: str
    text: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as the scripted model sees it.

    ``opening`` holds the texts the user began with, without system reminders. ``turn`` counts the model's messages so
    far. ``results`` has one entry for every tool call, in the order of the calls. ``offered`` are tool names.
    """

    opening: tuple[str, ...]
    turn: int
    results: tuple[CallResult, ...]
    offered: tuple[str, ...]

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Self:
        """Read the parsed body of a Messages request."""
        entries = message.get("messages") or []
        before = takewhile(lambda entry: entry.get("role") != "assistant", entries)
        said = (_without_reminders(block["text"]) for block in _blocks(before, "user", "text"))
        return cls(
            opening=tuple(text for text in said if text),
            turn=sum(entry.get("role") == "assistant" for entry in entries),
            results=tuple(_results(entries)),
            offered=tuple(tool["name"] for tool in message.get("tools") or [] if "name" in tool),
        )

    def offered_name(self, tool: str) -> str | None:
        """The name under which a tool is offered: its own, or one that ends with ``__`` and its own."""
        if tool in self.offered:
            return tool
        return next((name for name in self.offered if name.endswith(f"__{tool}")), None)


def _results(entries: list[Mapping[str, Any]]) -> Iterator[CallResult]:
    answers = {block.get("tool_use_id"): block for block in _blocks(entries, "user", "tool_result")}
    for call in _blocks(entries, "assistant", "tool_use"):
        answer = answers.get(call.get("id"))
        if answer is None:
            yield CallResult(call["name"], "no result came back", failed=True)
        else:
            yield CallResult(call["name"], _text(answer.get("content")), bool(answer.get("is_error")))


def _blocks(entries: Any, role: str, kind: str) -> Iterator[Mapping[str, Any]]:
    """The content blocks of one kind in the messages of one role; a plain string is one text block."""
    for entry in entries:
        if entry.get("role") == role:
            content = entry.get("content") or []
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            yield from (block for block in blocks if block.get("type") == kind)


def _text(content: str | list[Mapping[str, Any]] | None) -> str:
    """The text of a tool result. For some models the CLI puts a newline and reminder blocks behind what it was."""
    if isinstance(content, str):
        return content
    texts = [block["text"] for block in content or [] if block.get("type") == "text"]
    own = texts[:1] + [text for text in texts[1:] if _without_reminders(text)]
    text = "\n".join(own)
    return text if len(own) == len(texts) else text.removesuffix("\n")


def _without_reminders(text: str) -> str:
    return _REMINDER.sub("", text).strip()

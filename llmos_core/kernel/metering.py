"""Reads the tokens out of a model's reply while it streams by, without touching a byte of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from llmos_core.contracts import ModelReply
from llmos_core.records import Usage

_MAX_LINE = 16 << 20


class Meter:
    """Counts one reply. ``complete`` turns True with the final usage; ``status`` is 0 before the reply began."""

    def __init__(self) -> None:
        self._streamed = False
        self._pending = bytearray()
        self._counts: dict[str, Any] = {}
        self.complete = False
        self.status = 0

    def watch(self, reply: ModelReply) -> AsyncIterator[bytes]:
        """The reply's chunks, unchanged."""
        self._streamed = "text/event-stream" in dict(reply.headers).get("content-type", "")
        self.status = reply.status
        self.complete = reply.status != 200
        return self._watch(reply)

    async def _watch(self, reply: ModelReply) -> AsyncIterator[bytes]:
        async for chunk in reply.chunks:
            self._feed(chunk)
            yield chunk
        if not self._streamed:
            self._read(bytes(self._pending), final=True)

    @property
    def usage(self) -> Usage:
        """What has been counted so far."""
        hour = self._count("cache_creation", "ephemeral_1h_input_tokens")
        return Usage(
            input_tokens=self._count("input_tokens"),
            output_tokens=self._count("output_tokens"),
            cache_read_tokens=self._count("cache_read_input_tokens"),
            cache_write_5m_tokens=max(0, self._count("cache_creation_input_tokens") - hour),
            cache_write_1h_tokens=hour,
            web_searches=self._count("server_tool_use", "web_search_requests"),
        )

    def _count(self, *path: str) -> int:
        """A count of the usage; 0 for what is missing or no count: an upstream may send anything."""
        value: Any = self._counts
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, int) and value > 0 else 0

    def _feed(self, chunk: bytes) -> None:
        if self.complete and not self._streamed:
            return
        self._pending += chunk
        if not self._streamed:
            return
        *lines, rest = self._pending.split(b"\n")
        self._pending = rest if len(rest) <= _MAX_LINE else bytearray()
        for line in lines:
            # Only the two kinds of event that carry a usage are worth parsing.
            if line.startswith(b"data:") and b'"usage"' in line:
                self._read(bytes(line[5:]))

    def _read(self, data: bytes, final: bool = False) -> None:
        try:
            event = json.loads(data)
        except ValueError:
            return
        if not isinstance(event, Mapping):
            return
        kind = event.get("type")
        holder = event.get("message") if kind == "message_start" else event
        usage = holder.get("usage") if isinstance(holder, Mapping) else None
        if isinstance(usage, Mapping):
            self._counts.update({key: value for key, value in usage.items() if value is not None})
            self.complete = self.complete or final or kind == "message_delta"

"""Reads the tokens out of a model's reply while it streams by, without touching a byte of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from llmos_core.contracts import ModelReply
from llmos_core.records import Usage

_MAX_LINE = 16 << 20


class Meter:
    """Counts one reply. ``complete`` turns True once the final usage was seen."""

    def __init__(self, reply: ModelReply) -> None:
        self._reply = reply
        self._streamed = "text/event-stream" in dict(reply.headers).get("content-type", "")
        self._pending = bytearray()
        self._counts: dict[str, Any] = {}
        self.complete = reply.status != 200

    async def watch(self) -> AsyncIterator[bytes]:
        """The reply's chunks, unchanged."""
        async for chunk in self._reply.chunks:
            self._feed(chunk)
            yield chunk
        if not self._streamed:
            self._read(bytes(self._pending), final=True)

    @property
    def usage(self) -> Usage:
        """What has been counted so far."""
        counts = self._counts
        written = counts.get("cache_creation") or {}
        total = counts.get("cache_creation_input_tokens") or 0
        hour = written.get("ephemeral_1h_input_tokens") or 0
        return Usage(
            input_tokens=counts.get("input_tokens") or 0,
            output_tokens=counts.get("output_tokens") or 0,
            cache_read_tokens=counts.get("cache_read_input_tokens") or 0,
            cache_write_5m_tokens=max(0, total - hour),
            cache_write_1h_tokens=hour,
            web_searches=(counts.get("server_tool_use") or {}).get("web_search_requests") or 0,
        )

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

"""The bus: hands every event to its subscribers. A slow or dead subscriber never holds a publisher up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from llmos_core.records import Event


class Bus:
    """Publishes events to memory streams, one a subscriber."""

    def __init__(self) -> None:
        self._streams: list[MemoryObjectSendStream[Event]] = []

    def publish(self, event: Event) -> None:
        for stream in tuple(self._streams):
            try:
                stream.send_nowait(event)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._streams.remove(stream)

    @contextmanager
    def subscribe(self) -> Iterator[MemoryObjectReceiveStream[Event]]:
        """The events published while the context is open. What is not read is kept until it closes."""
        send, receive = anyio.create_memory_object_stream[Event](math.inf)
        self._streams.append(send)
        try:
            yield receive
        finally:
            if send in self._streams:
                self._streams.remove(send)
            send.close()
            receive.close()

    def close(self) -> None:
        """End every subscription; what was published before can still be read."""
        for stream in self._streams:
            stream.close()
        self._streams.clear()

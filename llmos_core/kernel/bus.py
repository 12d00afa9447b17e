"""The bus: hands every event to its subscribers. A slow or dead subscriber never holds a publisher up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from llmos_core.events import Event


class Bus:
    """Publishes events to memory streams, one a subscriber."""

    def __init__(self) -> None:
        self._streams: dict[MemoryObjectReceiveStream[Event], MemoryObjectSendStream[Event]] = {}

    def publish(self, event: Event) -> None:
        for receive, send in tuple(self._streams.items()):
            try:
                send.send_nowait(event)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                del self._streams[receive]

    @contextmanager
    def subscribe(self) -> Iterator[MemoryObjectReceiveStream[Event]]:
        """The events published while the context is open. What is not read is kept until it closes."""
        send, receive = anyio.create_memory_object_stream[Event](math.inf)
        self._streams[receive] = send
        try:
            yield receive
        finally:
            self.end(receive)
            send.close()
            receive.close()

    def end(self, subscription: MemoryObjectReceiveStream[Event]) -> None:
        """Publish no more to a subscription; what was published before can still be read."""
        send = self._streams.pop(subscription, None)
        if send is not None:
            send.close()

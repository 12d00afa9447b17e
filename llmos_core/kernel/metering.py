"""What a run uses: the tokens read out of each reply while it streams by, and the sum that a limit bounds."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from llmos_core.contracts import ModelReply, ModelRequest
from llmos_core.errors import BudgetError
from llmos_core.kernel.pricing import Price
from llmos_core.records import Billing, Usage

_MAX_LINE = 16 << 20
_FEWEST_TOKENS = 1_024
"""A reply that may not be longer than this would break off before it says anything of use."""

_DIGITS = 12
"""A larger number of tokens makes the request itself longer, by less than this."""


@dataclass(slots=True)
class Meters:
    """What a run has used so far, in micro-dollars; ``steps`` counts the tool calls that ended.

    ``held_micros`` is the worst case of the requests that are under way, ``lost_micros`` what replies that broke off
    may have cost beyond what was counted: both are taken from what is left. What a run within a run uses counts for
    its ``parent`` too, and is bounded by the limits of both.
    """

    limit_usd: float | None = None
    parent: Meters | None = None
    cost_micros: int = 0
    held_micros: int = 0
    lost_micros: int = 0
    billing: Billing = "free"
    steps: int = 0
    released: anyio.Event | None = None

    @property
    def cost_usd(self) -> float:
        return self.cost_micros / 1_000_000

    @property
    def left_micros(self) -> int | None:
        """What may still be spent; None without a limit."""
        if self.limit_usd is None:
            return None
        return round(self.limit_usd * 1_000_000) - self.cost_micros - self.held_micros - self.lost_micros

    @property
    def left_usd(self) -> float | None:
        """The least of what all limits leave; None without any."""
        left = [micros for meters in self._chain() if (micros := meters.left_micros) is not None]
        return max(0, min(left)) / 1_000_000 if left else None

    def add(self, cost_micros: int, billing: Billing) -> None:
        for meters in self._chain():
            meters.cost_micros += cost_micros
            if cost_micros or meters.billing == "free":
                meters.billing = billing

    def lose(self, micros: int) -> None:
        """A reply broke off, which may have cost so much more."""
        for meters in self._chain():
            meters.lost_micros += micros

    @asynccontextmanager
    async def granted(self, request: ModelRequest, price: Price) -> AsyncIterator[tuple[ModelRequest, int]]:
        """As :meth:`held`; but where requests under way hold what is missing, it waits for one of them to end."""
        *_, root = self._chain()
        with ExitStack() as stack:
            while True:
                try:
                    held = stack.enter_context(self.held(request, price))
                    break
                except BudgetError:
                    if not any(meters.held_micros for meters in self._chain()):
                        raise
                    root.released = root.released or anyio.Event()
                    await root.released.wait()
            yield held

    @contextmanager
    def held(self, request: ModelRequest, price: Price) -> Iterator[tuple[ModelRequest, int]]:
        """The request as it may be sent, and its worst case, which is held while the context is open.

        Where the worst case does not fit a limit, a shorter reply is asked for. Raises BudgetError where not even
        that fits.
        """
        for meters in self._chain():
            left = meters.left_micros
            if left is not None and price.worst_micros(request) > left:
                request = _shortened(request, price, left, meters)
        worst = price.worst_micros(request)
        self._hold(worst)
        try:
            yield request, worst
        finally:
            self._hold(-worst)

    def _hold(self, micros: int) -> None:
        for meters in self._chain():
            meters.held_micros += micros
            if micros < 0 and meters.released is not None:
                meters.released.set()
                meters.released = None

    def _chain(self) -> Iterator[Meters]:
        meters: Meters | None = self
        while meters is not None:
            yield meters
            meters = meters.parent


def _shortened(request: ModelRequest, price: Price, left: int, meters: Meters) -> ModelRequest:
    """The request with the longest reply that fits what is left, of those that are of use."""
    spare = left - price.worst_micros(request.with_max_tokens(_FEWEST_TOKENS))
    more = (spare - _DIGITS * price.input * price.cache_write_1h) / price.output if price.output else 0
    tokens = int(min(_FEWEST_TOKENS + max(0, more), request.message.get("max_tokens", sys.maxsize)))
    fitting = request.with_max_tokens(tokens)
    thinking = request.message.get("thinking")
    needed = thinking.get("budget_tokens", 0) if isinstance(thinking, Mapping) else 0
    if spare < 0 or (isinstance(needed, int) and tokens <= needed) or price.worst_micros(fitting) > left:
        raise BudgetError(
            "The next model request does not fit the limit of the run.",
            f"Of ${meters.limit_usd:g}, ${meters.cost_usd:.4f} is spent; it could cost more than what is left.",
            "Raise --max-cost (or the constraint that says so), or ask for less.",
        )
    return fitting


class Meter:
    """Counts one reply. ``complete`` turns True with the final usage; ``status`` is 0 before the reply began.

    ``on_text`` is told each piece of text as it passes.
    """

    def __init__(self, on_text: Callable[[str], object] | None = None) -> None:
        self._on_text = on_text
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
        if not self._streamed or b"\n" not in chunk:
            return
        *lines, rest = self._pending.split(b"\n")
        self._pending = rest if len(rest) <= _MAX_LINE else bytearray()
        for line in lines:
            # Only events that carry a usage or a text are worth parsing.
            if line.startswith(b"data:") and (b'"usage"' in line or b'"text_delta"' in line):
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
        delta = event.get("delta")
        if self._on_text and isinstance(delta, Mapping) and delta.get("type") == "text_delta":
            text = delta.get("text")
            if isinstance(text, str) and text:
                self._on_text(text)
        if isinstance(usage, Mapping):
            self._counts.update({key: value for key, value in usage.items() if value is not None})
            self.complete = self.complete or final or kind == "message_delta"

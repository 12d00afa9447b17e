"""The watchdog: a model that falls silent is not waited for longer than the limit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager

import anyio

from llmos_core.errors import ModelStalledError


@contextmanager
def begins_within(limit_s: float) -> Iterator[None]:
    """Raises ModelStalledError if what is awaited here takes longer: the reply does not even begin."""
    with anyio.move_on_after(limit_s) as scope:
        yield
    if scope.cancelled_caught:
        raise ModelStalledError("The model did not begin to answer.", f"Nothing came for {limit_s:g} s.", _FIX)


async def watched(chunks: AsyncIterator[bytes], limit_s: float) -> AsyncGenerator[bytes, None]:
    """The chunks of a reply, unchanged. Raises ModelStalledError where the next one does not come in time.

    Closed, it closes the generator that it reads.
    """
    try:
        while True:
            with anyio.move_on_after(limit_s) as scope:
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
            if scope.cancelled_caught:
                why = f"It began, and then nothing came for {limit_s:g} s."
                raise ModelStalledError("The model's reply stalled.", why, _FIX)
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


_FIX = "Try again, or give it more time: [limits] first_byte_timeout_s and stall_timeout_s in llmos.toml."

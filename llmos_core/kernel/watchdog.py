"""The watchdog: a model that falls silent is not waited for longer than the limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from llmos_core.errors import ModelStalledError


@asynccontextmanager
async def begins_within(limit_s: float) -> AsyncIterator[None]:
    """Raises ModelStalledError if what is awaited here takes longer: the reply does not even begin."""
    try:
        async with _at_most(limit_s):
            yield
    except _LateError:
        raise ModelStalledError(
            "The model did not begin to answer.", f"Nothing came for {limit_s:g} s.", _FIX
        ) from None


async def watched(chunks: AsyncIterator[bytes], limit_s: float) -> AsyncGenerator[bytes, None]:
    """The chunks of a reply, unchanged. Raises ModelStalledError where the next one does not come in time.

    Closed, it closes the generator that it reads.
    """
    try:
        while True:
            try:
                async with _at_most(limit_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except _LateError:
                why = f"It began, and then nothing came for {limit_s:g} s."
                raise ModelStalledError("The model's reply stalled.", why, _FIX) from None
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


class _LateError(Exception):
    """The time is over."""


@asynccontextmanager
async def _at_most(limit_s: float) -> AsyncIterator[None]:
    # Not a cancel scope: a provider may open one of its own here and keep it open, and scopes must nest.
    try:
        async with asyncio.timeout(limit_s) as clock:
            yield
    except TimeoutError:
        if clock.expired():
            raise _LateError from None
        raise


_FIX = "Try again, or give it more time: [limits] first_byte_timeout_s and stall_timeout_s in llmos.toml."

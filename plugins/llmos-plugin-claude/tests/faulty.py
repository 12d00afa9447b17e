"""Models that misbehave, and CLIs that are harmed."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile

from llmos_testkit import Received, Response, scripted, text, turns, use
from llmos_testkit.model_server import Handler

from .house import after_one_turn, marked

FIRST = scripted(turns([text("I begin."), use("Bash", command="echo one > one.txt; cat one.txt")]))
"""A first turn that does something."""


async def hang(received: Received, response: Response) -> None:
    await asyncio.Event().wait()


async def begin(response: Response) -> None:
    """The beginning of a reply, which costs money."""
    await response.start(200, {"content-type": "text/event-stream"})
    start = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_x","type":"message",'
        b'"role":"assistant","model":"local-1","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":10,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"I was about to"}}\n\n'
    )
    await response.chunk(start)


async def stall(received: Received, response: Response) -> None:
    await begin(response)
    await asyncio.Event().wait()


def signalling(number: signal.Signals, then: Handler = hang) -> Handler:
    """A model that, asked the second time, does something to the CLI."""

    async def answer(received: Received, response: Response) -> None:
        for process in cli_processes():
            os.kill(process, number)
        await then(received, response)

    return after_one_turn(answer, FIRST)


def cli_processes() -> list[int]:
    mark = f"CLAUDE_CONFIG_DIR={tempfile.gettempdir()}"
    return [process for process, command in marked(mark).items() if "_bundled/claude" in command]

"""A Messages server that says what time it is: each piece of text is the moment at which it was sent.

Run as ``python speaker.py``; it prints its port. The main agent first delegates to a sub-agent, then both speak.
"""

from __future__ import annotations

import time

import anyio

from llmos_testkit import Received, Reply, scripted, serving, text, use

PIECES = 50
PAUSE_S = 0.02


def reply(received: Received) -> Reply:
    if received.turn == 0 and received.agent_id is None:
        return Reply([use("Agent", description="speak", prompt="Say the time.", subagent_type="speaker")])
    return Reply([text(f"{time.monotonic():.6f} " for _ in range(PIECES))], pause_s=PAUSE_S)


async def main() -> None:
    async with serving(scripted(reply)) as server:
        print(server.url.rpartition(":")[2], flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main)

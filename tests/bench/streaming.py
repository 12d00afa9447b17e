"""How long a piece of text is on its way from the model's server to a callback, through the CLI's own requests."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from llmos_core import LLMOS, AnyEvent, LlmDelta

SPEAKER = Path(__file__).with_name("speaker.py")
AGENT = "---\ndescription: Says the time.\n---\nYou say the time.\n"


async def measure(folder: Path) -> dict[str, list[float]]:
    """Seconds from sending to the callback, of each piece of text of the main agent and of its sub-agent."""
    waited: dict[str, list[float]] = {"main agent": [], "sub-agent": []}

    def on_event(event: AnyEvent) -> None:
        if isinstance(event, LlmDelta):
            who = "sub-agent" if event.agent_id else "main agent"
            waited[who].append(time.monotonic() - float(event.text))

    space = folder / "streaming"
    (space / "agents").mkdir(parents=True)
    (space / "agents/speaker.md").write_text(AGENT)
    async with LLMOS(space) as system:
        outcome = await system.execute("Have the time said", on_event=on_event, mode="learner")
    assert outcome.success, outcome.error
    return waited


def report(folder: Path) -> Iterator[str]:
    with subprocess.Popen([sys.executable, str(SPEAKER)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        here = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": "bench-key-of-no-one"}
        before = {name: os.environ.get(name) for name in (*here, "LLMOS_PROVIDER")}
        os.environ.update(here, LLMOS_PROVIDER="anthropic")
        try:
            waited = anyio.run(measure, folder)
        finally:
            server.terminate()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
    yield "| text of | pieces | median | 90 % within |"
    yield "|---|---|---|---|"
    for who, seconds in waited.items():
        tenth = statistics.quantiles(seconds, n=10)[-1]
        yield f"| {who} | {len(seconds)} | {statistics.median(seconds) * 1000:.1f} ms | {tenth * 1000:.1f} ms |"

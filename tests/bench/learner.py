"""What the Learner adds to a bare script on the SDK: both play the same lesson against the same scripted model."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread

from tests.bench.process import Times, llmos, measure_once

GOAL = "Create a Python script that prints the primes below 50 and run it"
BARE = Path(__file__).with_name("bare.py")


async def measure(folder: Path, runs: int) -> tuple[Times, Times, list[float]]:
    """Times of the bare script, of ``llmos run``, and the seconds of each verification within the latter."""
    from llmos_plugin_claude.sdk.gateway import Gateway
    from llmos_plugin_rehearsal.provider import RehearsalProvider

    bare, ours, verifying = Times(), Times(), list[float]()
    provider = RehearsalProvider()
    run: Any = SimpleNamespace(workspace=folder, workdir=folder, emit=print)
    run.ask = lambda request: provider.open(request, run)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    environment["LLMOS_PROVIDER"] = "rehearsal"
    async with Gateway(run, "bench") as url:
        for number in range(runs + 1):
            place = folder / f"bare-{number}"
            place.mkdir()
            run.workdir = place
            script = [sys.executable, str(BARE), url, GOAL, str(place)]
            counted = (bare, ours) if number else (Times(), Times())
            await anyio.to_thread.run_sync(measure_once, script, counted[0], environment)
            command = llmos("--workspace", str(folder / f"ours-{number}"), "run", "--jsonl", GOAL)
            printed = await anyio.to_thread.run_sync(measure_once, command, counted[1], environment)
            events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
            [saved] = [event for event in events if event["type"] == "trace_saved"]
            assert saved["followable"], saved
            if number:
                verifying.append(saved["verify_s"])
    return bare, ours, verifying


def report(folder: Path, runs: int) -> Iterator[str]:
    bare, ours, verifying = anyio.run(measure, folder, runs)
    added = [a - v - b for a, v, b in zip(ours.wall, verifying, bare.wall, strict=True)]
    verify = statistics.median(verifying)
    yield "| | wall, median |"
    yield "|---|---|"
    yield f"| bare `ClaudeSDKClient` script | {bare.median_wall:.2f} s |"
    yield f"| `llmos run`, verification included | {ours.median_wall:.2f} s |"
    yield f"| of it verification (it waits for another second of the clock) | {verify:.2f} s |"
    yield f"| **added by the Learner, verification apart** (median of the pairs) | {statistics.median(added):.2f} s |"
    yield f"| ratio of the two, verification apart | {(ours.median_wall - verify) / bare.median_wall:.2f} |"

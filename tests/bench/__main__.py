"""``python -m tests.bench``: measure everything and write ``docs/benchmarks.md``."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.bench import cold, guard, hundred, learner, sandbox, steps, streaming

TARGET = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
RUNS = 15
LEARNER_RUNS = 7


def page(folder: Path) -> Iterator[str]:
    yield "# Benchmarks\n"
    yield "Written by `make bench`. The figures of a table come from one run: compare ratios, not times.\n"
    machine = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("llmos-core", "pydantic", "claude-agent-sdk"))
    yield f"{machine}; {packages}.\n"
    yield "## Whole processes\n"
    yield f"CPU time of the process and its children, {RUNS} runs in turn after a warm-up.\n"
    yield from cold.report(folder, RUNS)
    yield "\n## A hundred plugins\n"
    yield f"With {hundred.COUNT} more plugins installed, which contribute nothing; {RUNS} runs in turn.\n"
    yield from hundred.report(folder, RUNS)
    yield "\n## A replayed step\n"
    yield "A step that does nothing, in a warm process, through the full gate: two guards, journal, one observer."
    yield f"Medians over about {steps.STEPS_MEASURED // 5:,} steps or more.\n"
    yield from steps.report(folder)
    yield "\n## The Learner\n"
    yield f"The primes lesson, {LEARNER_RUNS} runs in turn after a warm-up, against the same scripted model.\n"
    yield from learner.report(folder, LEARNER_RUNS)
    yield "\n## Streaming\n"
    yield "From a model's server sending a piece of text to a callback that gets it, through the real CLI.\n"
    yield from streaming.report(folder)
    yield "\n## A command in the sandbox\n"
    yield f"`true`, {sandbox.RUNS} runs in turn after a warm-up.\n"
    yield from sandbox.report()
    yield "\n## The guard\n"
    yield "Calls of a corpus that is not in this repository, judged and never executed.\n"
    yield from guard.report()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for line in page(Path(folder)):
            print(line, file=sys.stderr, flush=True)
            lines.append(line)
    TARGET.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

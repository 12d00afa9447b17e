"""Whole processes, measured from outside: CPU time of the process and its children, and wall time."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Times:
    """Seconds of each counted run."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @property
    def median_cpu(self) -> float:
        return statistics.median(self.cpu)

    @property
    def median_wall(self) -> float:
        return statistics.median(self.wall)


def measure_once(command: Sequence[str], times: Times, environment: Mapping[str, str]) -> str:
    """Run a command; what it printed. Raises RuntimeError if it failed."""
    before, started = _children(), time.perf_counter()
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    after = _children()
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stderr}")
    times.wall.append(time.perf_counter() - started)
    times.cpu.append(after - before)
    return done.stdout + done.stderr


def _children() -> float:
    """CPU seconds of all processes that were started and have ended: finer than ``os.times``, which counts ticks."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_turn(commands: Mapping[str, Sequence[str]], runs: int, environment: Mapping[str, str]) -> dict[str, Times]:
    """Each command once to warm up, then all in turn, so that drift of the machine touches all alike."""
    for command in commands.values():
        measure_once(command, Times(), environment)
    times = {name: Times() for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            measure_once(command, times[name], environment)
    return times


def llmos(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "llmos_core", *arguments]

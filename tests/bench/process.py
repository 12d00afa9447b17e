"""Whole processes, measured from outside: CPU time of the process and its children, and wall time."""

from __future__ import annotations

import os
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
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stderr}")
    times.wall.append(time.perf_counter() - started)
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    times.cpu.append(spent)
    return done.stdout + done.stderr


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

"""What a command may use up: bounds that the kernel keeps for each process, and a watch over all of them."""

from __future__ import annotations

import os
import resource

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1024 * 1024

THREADS = 16
"""How many threads there may be for each process that is allowed: libraries start one for each processor."""


def set_limits(limits: dict[str, int]) -> None:
    """Bound this process and each that it starts: data, sizes of files, open files. No memory is ever dumped."""
    bounds = {
        # Not the address space: runtimes reserve far more of it than they use.
        resource.RLIMIT_DATA: limits["memory_mb"] * _MB,
        resource.RLIMIT_FSIZE: limits["file_mb"] * _MB,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in bounds.items():
        _, hard = resource.getrlimit(kind)
        most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (most, most))


def descendants(process: int) -> list[int]:
    """The processes below one, parents before children. One that ends meanwhile may be missed, or be in vain."""
    found, at = [process], 0
    while at < len(found):
        found += children(found[at])
        at += 1
    return found[1:]


def children(process: int) -> list[int]:
    """The processes that one has for children; none if it ended."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 - pathlib is slow to import
            with open(f"/proc/{process}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended
    return found


def excess(processes: list[int], limits: dict[str, int]) -> str | None:
    """Which limit they have passed together; None for none."""
    if len(processes) > limits["processes"] or sum(map(_threads, processes)) > THREADS * limits["processes"]:
        return "processes"
    most = limits["memory_mb"] * _MB
    if sum(map(_resident, processes)) > most and sum(map(_proportional, processes)) > most:
        return "memory"
    return None


def _threads(process: int) -> int:
    try:
        return len(os.listdir(f"/proc/{process}/task"))  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended


def _resident(process: int) -> int:
    """Quick, but what several share counts for each."""
    try:
        with open(f"/proc/{process}/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # it ended


def _proportional(process: int) -> int:
    """Slow, but exact: what several share counts once."""
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:  # noqa: PTH123
            return sum(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) * 1024
    except OSError:
        return 0  # it ended

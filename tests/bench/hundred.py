"""What a hundred installed plugins cost a command that needs none of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.process import in_turn, llmos
from tests.host.synthetic import MARKS, install_all, trivial

COUNT = 100
COMMANDS = {"`llmos --help`": llmos("--help"), "`llmos plugins list`": llmos("plugins", "list")}
BARE = '`python -c "import click, importlib_metadata"`'


def with_path(site: Path, command: Sequence[str]) -> list[str]:
    """The command with a directory of distributions in reach; alike for all, so that ``env`` itself weighs nothing."""
    return ["env", f"PYTHONPATH={site}", *command]


def make_sites(folder: Path, source: str | None = None, group: str = "llmos.plugins") -> dict[str, Path]:
    """A directory without distributions and one with many."""
    sites = {"none": folder / "none", "many": folder / "many"}
    plugins = trivial(COUNT) if source is None else trivial(COUNT, source, requires=())
    install_all([], sites["none"], group)
    install_all(plugins, sites["many"], group)
    return sites


def report(folder: Path, runs: int) -> Iterator[str]:
    sites = make_sites(folder / "hundred")
    bare = [sys.executable, "-c", "import click, importlib_metadata"]
    commands = {BARE: with_path(sites["none"], bare)}
    for name, command in COMMANDS.items():
        for amount, site in sites.items():
            commands[f"{name} {amount}"] = with_path(site, command)
    times = in_turn(commands, runs, {**os.environ, MARKS: str(folder), "LLMOS_WORKSPACE": str(folder / "workspace")})
    base = times[BARE].median_cpu
    yield f"| CPU, median | none | {COUNT} plugins | ratio | to {BARE} ({1000 * base:.0f} ms) |"
    yield "|---|---|---|---|---|"
    for name in COMMANDS:
        none, many = (times[f"{name} {amount}"].median_cpu for amount in sites)
        yield f"| {name} | {1000 * none:.0f} ms | {1000 * many:.0f} ms | {many / none:.2f} | {many / base:.2f} |"

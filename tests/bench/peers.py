"""``python -m tests.bench.peers``: ``plugins list`` beside its peers, written to ``docs/benchmarks-peers.md``.

Each program is installed into an environment of its own in ``.bench/``, as its users install it. All get the same
hundred plugins, written as the program's own documentation says, which contribute nothing.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.hundred import COUNT, make_sites, with_path
from tests.bench.process import Times, in_turn
from tests.host.synthetic import MARKS, PLAIN

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "benchmarks-peers.md"
ENVIRONMENTS = ROOT / ".bench"
RUNS = 7

LLM = """
import llm

@llm.hookimpl
def register_commands(cli):
    pass
"""
DATASETTE = """
from datasette import hookimpl

@hookimpl
def prepare_connection(conn):
    pass
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A program with plugins.

    Args:
        name: its command.
        distribution: what is installed.
        group: its plugins' group of entry points.
        source: a plugin that contributes nothing.
        listing: the arguments that list its plugins.

    """

    name: str
    distribution: str
    group: str
    source: str
    listing: tuple[str, ...] = ("plugins",)

    @property
    def python(self) -> Path:
        return ENVIRONMENTS / self.name / "bin" / "python"

    def install(self) -> str:
        """Install it where it is not yet; its version."""
        if not self.python.exists():
            self._make()
            self._pip("install", "-q", self.distribution)
        return self._version()

    def _make(self) -> None:
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENTS / self.name], check=True)

    def _version(self) -> str:
        asked = f"import importlib.metadata; print(importlib.metadata.version({self.distribution!r}))"
        done = subprocess.run([self.python, "-c", asked], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _pip(self, *arguments: str | Path) -> None:
        subprocess.run([self.python, "-m", "pip", *arguments], check=True)

    def command(self, arguments: Sequence[str]) -> list[str]:
        return [str(self.python.with_name(self.name)), *arguments]


class Llmos(Program):
    """Ours, from the wheels of this tree: always the newest."""

    def install(self) -> str:
        anew = ("--force-reinstall", "--no-deps") if self.python.exists() else ()
        if not anew:
            self._make()
        self._pip("install", "-q", *anew, ROOT, *sorted((ROOT / "plugins").iterdir()))
        return self._version()


PROGRAMS = (
    Llmos("llmos", "llmos-core", "llmos.plugins", PLAIN, ("plugins", "list")),
    Program("llm", "llm", "llm", LLM),
    Program("datasette", "datasette", "datasette", DATASETTE),
)


def page(folder: Path) -> Iterator[str]:
    yield "# Plugins beside peers\n"
    yield "Written by `make bench-peers`. The figures come from one run, in turn: compare ratios, not times.\n"
    versions = ", ".join(f"{program.distribution} {program.install()}" for program in PROGRAMS)
    machine = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield f"{machine}; {versions}.\n"
    yield f"Each is in an environment of its own, with its own standard plugins and {COUNT} that contribute nothing."
    yield f"Medians of {RUNS} runs after a warm-up; CPU of the process and its children.\n"
    yield from table(measure(folder))


def measure(folder: Path) -> dict[str, dict[str, Times]]:
    """Times by command, without and with many plugins."""
    commands: dict[str, list[str]] = {}
    for program in PROGRAMS:
        sites = make_sites(folder / program.name, program.source, program.group)
        check(program, sites["many"], folder)
        for arguments in (program.listing, ("--help",)):
            shown = " ".join((program.name, *arguments))
            for amount, site in sites.items():
                commands[f"{shown}|{amount}"] = with_path(site, program.command(arguments))
    times = in_turn(commands, RUNS, environment(folder))
    shown_all = dict.fromkeys(name.partition("|")[0] for name in times)
    return {shown: {amount: times[f"{shown}|{amount}"] for amount in ("none", "many")} for shown in shown_all}


def check(program: Program, site: Path, folder: Path) -> None:
    """The program really sees the plugins. Raises RuntimeError if it does not."""
    command = with_path(site, program.command(program.listing))
    done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, check=True)
    if (seen := sum(done.stdout.count(f"trivial-{number:03}") > 0 for number in range(COUNT))) != COUNT:
        raise RuntimeError(f"{program.name} lists {seen} of {COUNT} plugins")


def environment(folder: Path) -> dict[str, str]:
    home = str(folder / "home")
    own = dict.fromkeys(
        ("HOME", "LLM_USER_PATH", "LLMOS_WORKSPACE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), home
    )
    marks = folder / "marks"
    marks.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], MARKS: str(marks), **own}


def table(times: dict[str, dict[str, Times]]) -> Iterator[str]:
    ours = {shown.partition(" ")[2] == "--help": taken["many"] for shown, taken in times.items() if "llmos" in shown}
    yield f"| command | CPU, no plugins | CPU, {COUNT} plugins | wall, {COUNT} plugins | CPU to llmos | wall to llmos |"
    yield "|---|---|---|---|---|---|"
    for shown, taken in times.items():
        own, many = ours[shown.endswith("--help")], taken["many"]
        cells = [
            f"`{shown}`",
            f"{1000 * taken['none'].median_cpu:.0f} ms",
            f"{1000 * many.median_cpu:.0f} ms",
            f"{1000 * many.median_wall:.0f} ms",
            f"{many.median_cpu / own.median_cpu:.2f}",
            f"{many.median_wall / own.median_wall:.2f}",
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for line in page(Path(folder)):
            print(line, file=sys.stderr, flush=True)
            lines.append(line)
    TARGET.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""What the documents say is true: the tutorial is run, links lead somewhere, quoted code stands where they say.

The word behind a fence's language tells what to do with a block of the tutorial: ``norun`` only shows it, ``exit=N``
is the code of its last command (else 0), ``file=PATH`` writes it to that file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from llmos_core import AnyEvent
from tests.cli_fixtures import environment, home

__all__ = ["environment", "home"]

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs/tutorial.md"
ONE_RUN = ROOT / "docs/one-run.md"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)[^)]*\)")
NAMED_PATH = re.compile(r"(?<![\w/.])(?:llmos_core|plugins|tests|docs)/[\w./-]*\w")
NAMED_THING = re.compile(r"`([A-Za-z_]\w*)`")
VARYING = {
    r"\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{6}": "RUN",
    r"\d\d:\d\d:\d\d": "TIME",
    r"\d+\.\d+ s\b": "SECONDS",
    r"\$0\.\d{4}": "COST",
    r"(version |^[0-9a-f]{8}  )[0-9a-f]{8,16}": r"\1VERSION",
    r"\b\d{10}\b": "CLOCK",
    r"\s+": " ",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    info: str
    text: str

    def value(self, key: str) -> str | None:
        return dict(word.partition("=")[::2] for word in self.info.split()).get(key)


def blocks(text: str) -> Iterator[Block]:
    return (Block(*found) for found in FENCE.findall(text))


def commands(block: Block) -> Sequence[tuple[str, str]]:
    """The commands of a console block, each with the output shown for it."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    assert not parts[0], f"output without a command: {parts[0]}"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def steady(line: str) -> str:
    """A line of output without what differs from run to run."""
    for pattern, stands in VARYING.items():
        line = re.sub(pattern, stands, line)
    return line.rstrip()


def same(shown: str, got: str) -> bool:
    """Whether two lines are the same; of lines that a table cut, the part that both still hold."""
    shown, got = steady(shown), steady(got)
    if shown.endswith("...") and got.endswith("..."):
        length = min(len(shown), len(got)) - len("...")
        return shown[:length] == got[:length]
    return shown == got


def first_untrue(shown: str, output: str) -> str | None:
    """The first shown line that the output does not hold in its place; ``...`` stands for any lines."""
    lines, place, gap = output.splitlines(), 0, False
    for wanted in shown.splitlines():
        if wanted == "...":
            gap = True
            continue
        while gap and place < len(lines) and not same(wanted, lines[place]):
            place += 1
        if place == len(lines) or not same(wanted, lines[place]):
            return wanted
        place, gap = place + 1, False
    return None if gap or place == len(lines) else f"nothing more, but there is: {lines[place]}"


@pytest.mark.cli
def test_the_tutorial_does_what_it_shows(home: Path, environment: Mapping[str, str]) -> None:
    shutil.copytree(ROOT / "workspace/data", home / "workspace/data")
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    variables = {**environment, "PATH": path, "COLUMNS": "100"}
    for block in blocks(TUTORIAL.read_text("utf-8")):
        if name := block.value("file"):
            target = home / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, "utf-8")
        elif block.language == "console" and block.value("norun") is None:
            play(block, home, variables)


def play(block: Block, home: Path, variables: Mapping[str, str]) -> None:
    """Run the commands of a block; exit codes and shown lines must be those of the document."""
    listed = commands(block)
    for number, (command, shown) in enumerate(listed, 1):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=home,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        wanted = int(block.value("exit") or 0) if number == len(listed) else 0
        assert done.returncode == wanted, f"$ {command}\n{done.stdout}"
        untrue = first_untrue(shown, done.stdout) if shown else None
        assert untrue is None, f"$ {command}\n{done.stdout}\nThe tutorial shows: {untrue}"


def test_every_block_of_the_tutorial_is_used() -> None:
    """No program is shown that is not run, and what is only shown says so."""
    found = list(blocks(TUTORIAL.read_text("utf-8")))
    run = [command for block in found if block.language == "console" for command, _ in commands(block)]
    assert any(command.startswith("llmos run ") for command in run)
    for block in found:
        if block.language == "console":
            assert set(block.info.split()) <= {"norun"} or re.fullmatch(r"exit=\d+", block.info), block
        else:
            assert block.value("file"), block
        if block.language == "python":
            assert f"python {block.value('file')}" in run, block


def test_what_is_untrue_is_seen() -> None:
    assert first_untrue("a\n...\nc\n", "a\nb\nb\nc\n") is None
    assert (
        first_untrue("took 0.31 s (run 2026-11-22-150916-f1e0c2)\n", "took 12.4 s (run 2027-01-01-000000-aaaaaa)")
        is None
    )
    assert first_untrue("x  a long li...\n", "x a long line, cu...\n") is None
    assert first_untrue("a\nc\n", "a\nb\nc\n") == "c"
    assert first_untrue("...\nd\n", "a\nb\n") == "d"
    assert first_untrue("a\n", "a\nb\n") == "nothing more, but there is: b"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    text = FENCE.sub("", document.read_text("utf-8"))
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def stops() -> Sequence[tuple[str, str]]:
    """The stops of the one run: number and text."""
    parts = re.split(r"^## (\d+)\. ", ONE_RUN.read_text("utf-8"), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def test_one_run_has_ten_stops() -> None:
    assert [number for number, _ in stops()] == [str(number) for number in range(1, 11)]
    assert len(re.findall(r"^#+ ", ONE_RUN.read_text("utf-8"), re.MULTILINE)) == 11


@pytest.mark.parametrize("number", range(1, 11))
def test_a_stop_is_true(number: int) -> None:
    """Its files are there; its code, and the names it speaks of, stand in them; its data are events."""
    text = dict(stops())[str(number)]
    named = NAMED_PATH.findall(FENCE.sub("", text))
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
    sources = [(ROOT / path).read_text("utf-8") for path in named]
    for block in blocks(text):
        if block.language == "json":
            TypeAdapter(AnyEvent).validate_json(block.text)
            continue
        indented = [textwrap.indent(block.text, " " * depth) for depth in range(0, 24, 4)]
        assert any(f"\n{excerpt}" in source for excerpt in indented for source in sources), block.text
    words = set(NAMED_THING.findall(FENCE.sub("", text)))
    assert [word for word in sorted(words) if not any(re.search(rf"\b{word}\b", source) for source in sources)] == []

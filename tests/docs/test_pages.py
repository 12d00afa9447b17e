"""The two pages on making plugins are true: their files are written out, built, installed and used in a fresh venv.

A line like "`src/thing.py`:" before a fence names the file that the fence holds; a console block is run as the
tutorial's are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmos_core.host.settings import Settings
from tests.docs.house import ROOT, STANDARD, fresh_venv, pip_environment
from tests.test_docs import FENCE, Block, blocks, play

DOCS = ROOT / "docs"
PAGES = {
    "first-plugin.md": "llmos-plugin-hello",
    "agent-package.md": "llmos-plugin-scribes",
    "plugins.md": "any-folder",
}
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(page: str) -> Mapping[str, str]:
    """The files that a page shows, by their paths."""
    return dict(FILE.findall((DOCS / page).read_text("utf-8")))


def test_the_first_plugin_is_the_hello_example() -> None:
    folder = DOCS / "examples/hello"
    paths = [path.relative_to(folder) for path in folder.rglob("*") if (folder / path).is_file()]
    kept = {path.as_posix(): (folder / path).read_text("utf-8") for path in paths if not _made(path)}
    shown = files_of("first-plugin.md")
    assert {name: text for name, text in shown.items() if not name.startswith("workspace/")} == kept


def test_the_local_plugin_is_the_example() -> None:
    [(_, text)] = files_of("plugins.md").items()
    assert text == (DOCS / "examples/local.py").read_text("utf-8")


def _made(path: Path) -> bool:
    """Whether a program made a file, and nobody wrote it."""
    return any(part.startswith((".", "__pycache__", "dist")) for part in path.parts)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_used(page: str) -> None:
    """A fence is a file, a console or settings; nothing is shown that no test sees."""
    text = (DOCS / page).read_text("utf-8")
    consoles = [block for block in blocks(text) if block.language == "console"]
    settings = [block for block in blocks(FILE.sub("", text)) if block.language == "toml"]
    for block in settings:
        Settings.model_validate(tomllib.loads(block.text))
    assert len(FENCE.findall(text)) == len(files_of(page)) + len(consoles) + len(settings)
    assert [block for block in consoles if block.info not in ("", "norun") and "exit=" not in block.info] == []


@dataclass(frozen=True)
class Shop:
    """A folder outside the repository with the files of a page, and an environment to use them in."""

    folder: Path
    variables: Mapping[str, str]
    bin: Path

    def llmos(self, *arguments: str) -> str:
        """What the real command says, on both streams."""
        done = subprocess.run(
            [self.bin / "llmos", *arguments],
            cwd=self.folder,
            env=dict(self.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.llmos(*arguments, "--json"))

    def plugin(self, name: str) -> dict[str, Any] | None:
        return next((row for row in self.json("plugins", "list") if row["name"] == name), None)

    def events(self) -> Sequence[dict[str, Any]]:
        """The events of all runs, in the order in which they happened."""
        journals = sorted((self.folder / "workspace/memories/sessions").rglob("*.jsonl"))
        return [json.loads(line) for journal in journals for line in journal.read_text("utf-8").splitlines()]

    def play(self, page: str, until: str | None = None, after: str | None = None) -> None:
        """Do what the consoles of a page say: up to the block that holds a word, or from it on."""
        consoles = [block for block in blocks((DOCS / page).read_text("utf-8")) if _played(block)]
        [cut] = [place for place, block in enumerate(consoles) if (until or after or "") in block.text][:1] or [0]
        for block in consoles[:cut] if until else consoles[cut:]:
            play(block, self.folder, self.variables)


def _played(block: Block) -> bool:
    return block.language == "console" and block.info != "norun"


Open = Callable[[str], Shop]


@pytest.fixture(scope="module")
def bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh virtual environment: the core, the standard plugins and the test kit, as wheels."""
    plugins = [ROOT / "plugins" / f"llmos-plugin-{name}" for name in STANDARD]
    return fresh_venv(tmp_path_factory.mktemp("fresh") / "venv", [ROOT, *plugins, ROOT / "llmos-testkit"])


@pytest.fixture
def open_shop(bin: Path, tmp_path: Path) -> Open:
    def open_shop(page: str) -> Shop:
        folder = tmp_path / PAGES[page]
        for name, text in files_of(page).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        homes = {"HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".data", "XDG_CACHE_HOME": ".cache"}
        own = {name: str(tmp_path / "home" / part) for name, part in homes.items()}
        (tmp_path / "home").mkdir()
        variables = pip_environment(bin.parent, {"LANG": os.environ.get("LANG", "C.UTF-8"), "COLUMNS": "100", **own})
        return Shop(folder, variables, bin)

    return open_shop


def started(events: Sequence[dict[str, Any]]) -> Iterator[str]:
    return (event["call"]["tool"] for event in events if event["type"] == "tool_started")


def of_mode(events: Sequence[dict[str, Any]], mode: str) -> Sequence[dict[str, Any]]:
    """The events of the one run in a mode, its sub-agents' among them, without what verified it."""
    [run] = [event["run_id"] for event in events if event["type"] == "mode_chosen" and event["mode"] == mode]
    return [event for event in events if event["run_id"] == run]


def outcome(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    [ended] = [event["outcome"] for event in events if event["type"] == "outcome"]
    assert isinstance(ended, dict)
    return ended


@pytest.mark.slow
@pytest.mark.cli
def test_the_first_plugin(open_shop: Open) -> None:
    """Built, tested, installed, listed, used by the Learner, followed for $0, and missed when it is gone."""
    page = "first-plugin.md"
    shop = open_shop(page)
    shop.play(page, until="llmos plugins disable")

    listed = shop.plugin("hello")
    assert listed is not None
    assert (listed["state"], listed["distribution"], listed["tools"]) == ("ok", "llmos-plugin-hello", ["Greet"])
    assert installed_from_wheel(shop, "llmos_plugin_hello")
    events = shop.events()
    learned, followed = of_mode(events, "LEARNER"), of_mode(events, "FOLLOWER")
    assert [*started(learned)] == [*started(followed)] == ["Greet"]
    [denied] = [event for event in learned if event["type"] == "tool_denied"]
    assert denied["verdict"]["rule"] == "hello.nobody"
    assert outcome(learned)["cost_usd"] > 0
    assert (outcome(followed)["cost_usd"], outcome(followed)["output"]) == (0, "Hello, Ada!")
    assert not [event for event in followed if event["type"] == "model_used"]

    shop.play(page, after="llmos plugins disable")
    assert shop.plugin("hello") is None
    [trace] = shop.json("traces", "list")
    assert "llmos-plugin-hello 0.1.0" in shop.llmos("traces", "show", trace["trace_id"])
    told = shop.llmos("run", "--mode", "follower", "Greet Ada")
    assert "llmos-plugin-hello" in told
    assert "llmos plugins install" in told


@pytest.mark.slow
@pytest.mark.cli
def test_the_agent_package(open_shop: Open) -> None:
    """Its agent is listed, delegated to by the Learner, and what it did is followed for $0."""
    page = "agent-package.md"
    shop = open_shop(page)
    shop.play(page)

    listed = shop.plugin("scribes")
    assert listed is not None
    assert (listed["state"], listed["agents"]) == ("ok", ["scribe"])
    assert installed_from_wheel(shop, "llmos_plugin_scribes")
    events = shop.events()
    learned, followed = of_mode(events, "LEARNER"), of_mode(events, "FOLLOWER")
    [agent] = [event for event in learned if event["type"] == "agent_started"]
    [write] = [event["call"] for event in learned if event["type"] == "tool_started"]
    assert agent["name"] == "scribe"
    assert (write["tool"], write["agent_id"]) == ("Write", agent["agent_id"])
    assert [*started(followed)] == ["Write"]
    assert outcome(followed)["cost_usd"] == 0


@pytest.mark.slow
def test_plugins_for_their_users(open_shop: Open) -> None:
    """What users are told to say works as shown."""
    shop = open_shop("plugins.md")
    wheel = ["-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(shop.folder), str(DOCS / "examples/hello")]
    subprocess.run([shop.bin / "python", *wheel], env=dict(shop.variables), check=True, capture_output=True)
    shop.play("plugins.md")
    assert shop.plugin("hello") is None
    [local] = [row for row in shop.json("plugins", "list") if row["distribution"] == "workspace"]
    assert (local["name"], local["state"]) == ("no_push", "ok")


def installed_from_wheel(shop: Shop, package: str) -> bool:
    """Whether what is used lies in the environment, and not in the folder that was written."""
    code = f"import {package}; print({package}.__file__)"
    done = subprocess.run(
        [shop.bin / "python", "-c", code],
        cwd=shop.folder,
        env=dict(shop.variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip()).is_relative_to(shop.bin.parent)

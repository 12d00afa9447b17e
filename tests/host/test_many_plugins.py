"""All faulty plugins at once: every command still works, and each plugin is listed with its state and stage."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmos_core.host.loading import bounded
from tests.host.faults import ALL, DISABLED, DISABLING, HANGING, LISTED, UNSOUND
from tests.host.synthetic import MARKS, Synthetic, install_all, marks, trivial

pytestmark = pytest.mark.slow

GOAL = "Create a Python script that prints the primes below 50 and run it"
SETTINGS = f"disabled_plugins = {json.dumps(DISABLING)}\n[limits]\nplugin_timeout_s = 1.5\n"
OURS = {*(path.name for path in (Path(__file__).parents[2] / "plugins").iterdir()), "llmos-testkit"}
NOT_LOADED = ("metadata", "name", "import", "register")
AT_ONCE = 5
HEAVY = ("claude_agent_sdk", "mcp", "rich", "yaml", "uvicorn", "httpx2")


@dataclass(frozen=True, slots=True)
class Place:
    """A directory to work in, with distributions installed for the commands that run there."""

    home: Path
    site: Path
    marks: Path

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "llmos_core", *arguments, **variables)

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        environment = {**self.environment, **variables}
        return subprocess.run(
            command, cwd=self.home, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    @property
    def environment(self) -> Mapping[str, str]:
        strange = ("ANTHROPIC_", "LLMOS_", "CLAUDE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        own = {name: str(self.home / f".{name}") for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
        return {**clean, **own, "PYTHONPATH": str(self.site), MARKS: str(self.marks), "COLUMNS": "200"}

    def imported(self) -> set[str]:
        """The made up modules that were imported since this was asked the last time."""
        found = marks(self.marks)
        for name in found:
            (self.marks / name).unlink()
        return found


def make_place(root: Path, distributions: list[Synthetic], settings: str = "") -> Place:
    place = Place(root / "home", root / "site", root / "marks")
    (place.home / "workspace").mkdir(parents=True)
    place.marks.mkdir()
    own = place.home / ".XDG_CONFIG_HOME/llmos/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(settings)
    install_all(distributions, place.site)
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("many"), ALL, SETTINGS)
    # What an interrupted upgrade leaves: a second dist-info of a distribution, and a file where a folder should be.
    shutil.copytree(place.site / "llmos_plugin_plain-1.0.dist-info", place.site / "llmos_plugin_plain-0.9.dist-info")
    (place.site / "llmos_plugin_litter-1.0.dist-info").write_text("litter")
    return place


@dataclass(frozen=True, slots=True)
class Checked:
    """What ``plugins list --check`` says of each plugin, by id, and which of the made up modules it imported."""

    rows: Mapping[str, Mapping[str, Any]]
    imported: set[str]


@pytest.fixture(scope="module")
def checked(place: Place) -> Checked:
    rows = by_id(place.run("plugins", "list", "--check", "--json"))
    return Checked(rows, place.imported())


def by_id(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


@pytest.mark.parametrize("synthetic", LISTED, ids=lambda synthetic: synthetic.name)
def test_each_is_listed_with_its_state(checked: Checked, synthetic: Synthetic) -> None:
    row = checked.rows[synthetic.id]
    assert (row["state"], row["stage"] or "") == (synthetic.state, synthetic.stage), row["error"]
    assert synthetic.error in (row["error"] or "")
    assert bool(row["error"] and row["fix"]) == (synthetic in UNSOUND)
    assert (row["hooks"] is None) == (synthetic.state == "disabled" or synthetic.stage in NOT_LOADED)


def test_what_is_no_plugin_is_not_listed(checked: Checked) -> None:
    assert {id for id in checked.rows if id.partition("/")[0] not in OURS} == {synthetic.id for synthetic in LISTED}


def test_the_other_plugins_are_ok(checked: Checked) -> None:
    assert {row["state"] for row in checked.rows.values() if row["distribution"] in OURS} == {"ok"}


def test_the_list_remembers_without_an_import(place: Place, checked: Checked) -> None:
    place.imported()
    assert by_id(place.run("plugins", "list", "--json")) == checked.rows
    assert place.imported() == set()


COMMANDS: list[tuple[list[str], int]] = [
    (["--help"], 0),
    (["--version"], 0),
    (["explain", GOAL], 0),
    (["explain", GOAL, "--json"], 0),
    (["traces", "list", "--json"], 0),
    (["traces", "list"], 0),
    (["runs", "list", "--json"], 0),
    (["projects", "list", "--json"], 0),
    (["projects", "create", "one"], 0),
    (["plugins", "list"], 0),
    (["plugins", "show", "plain", "--json"], 0),
    (["plugins", "show", "raises", "--json"], 0),
    (["plugins", "check", "plain"], 0),
    (["plugins", "check", "raises"], 1),
    (["doctor"], 1),
    (["doctor", "--json"], 1),
    (["settings", "show"], 0),
    (["settings", "show", "--json"], 0),
    (["completion", "bash"], 0),
    (["lessons", "list"], 0),
    (["conquer"], 2),
]


@pytest.fixture(scope="module")
def done(place: Place, checked: object) -> dict[str, subprocess.CompletedProcess[str]]:
    """All commands, run side by side: most of their time they wait for plugins that hang."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        every = pool.map(lambda pair: place.run(*pair[0]), COMMANDS)
        return {" ".join(arguments): done for (arguments, _), done in zip(COMMANDS, every, strict=True)}


@pytest.mark.parametrize(("arguments", "code"), COMMANDS, ids=[" ".join(arguments) for arguments, _ in COMMANDS])
def test_every_command_works(
    done: dict[str, subprocess.CompletedProcess[str]], arguments: list[str], code: int
) -> None:
    ended = done[" ".join(arguments)]
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "printed at import" not in ended.stdout
    if "--json" in arguments:
        json.loads(ended.stdout)


@pytest.mark.cli
def test_a_goal_is_learned_and_followed(place: Place, checked: object) -> None:
    learned = place.run("run", "--mode", "learner", GOAL, "--json", LLMOS_PROVIDER="rehearsal")
    assert learned.returncode == 0, learned.stderr
    assert json.loads(learned.stdout)["success"]
    followed = place.run("run", GOAL, "--json")
    assert followed.returncode == 0, followed.stderr
    assert json.loads(followed.stdout)["mode"] == "FOLLOWER"


def test_a_broken_plugin_is_switched_off_and_on(place: Place, checked: object) -> None:
    for switch in ("disable", "enable"):
        done = place.run("plugins", switch, "needs")
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


@pytest.fixture(scope="module")
def refused(place: Place, checked: Checked) -> list[str]:
    """What a run that can follow nothing says, line by line."""
    done = place.run("run", "--mode", "follower", "Something that nobody has learned")
    assert done.returncode == 1, done.stderr
    return done.stderr.splitlines()


def test_each_fault_is_told_once(refused: list[str]) -> None:
    """A contested name is told once, for both of its plugins."""
    told = {synthetic.id: [line for line in refused if names(line, synthetic)] for synthetic in LISTED}
    unsound = {synthetic.id for synthetic in UNSOUND} | {"llmos-plugin-observes/observes"}
    assert {id: lines for id, lines in told.items() if len(lines) != (id in unsound)} == {}


def names(line: str, synthetic: Synthetic) -> bool:
    """Whether a line speaks of a plugin."""
    told = ("The plugin {} is", "An observer of {} failed")
    words = {word.strip(".") for word in re.split(r"[^\w/.-]+", line)}
    return synthetic.id in words or any(phrase.format(synthetic.plugin) in line for phrase in told)


COLD = [
    ["--help"],
    ["plugins", "list"],
    ["plugins", "list", "--json"],
    ["plugins", "show", "raises"],
    ["plugins", "disable", "raises"],
    ["plugins", "enable", "raises"],
    ["plugins", "uninstall", "llmos-plugin-plain", "--yes"],
    ["--no-plugins", "plugins", "list", "--check"],
    ["--no-plugins", "explain", GOAL],
    ["--no-plugins", "doctor"],
    ["--no-plugins", "traces", "list"],
]


@pytest.mark.parametrize("arguments", COLD, ids=" ".join)
def test_what_loads_nothing(place: Place, arguments: list[str]) -> None:
    place.imported()
    done = place.run(*arguments)
    assert "Traceback" not in done.stderr
    assert place.imported() == set()
    assert (place.site / "plain.py").exists()


def test_what_could_not_be_removed_is_not_called_removed(place: Place) -> None:
    """It lies outside the environment: the installer leaves it there, and calls that a success."""
    done = place.run("plugins", "uninstall", "llmos-plugin-plain", "--yes")
    assert (place.site / "plain.py").exists()
    assert done.returncode == 1
    assert "Removed" not in done.stdout


def test_some_plugins_are_left_out(place: Place) -> None:
    left_out = ["plain", "llmos-plugin-raises", "llmos-plugin-needs/needs", *HANGING]
    place.imported()
    place.run(f"--no-plugins={','.join(left_out)}", "plugins", "check")
    imported = place.imported()
    assert {"prints", "leaves"} <= imported
    assert imported.isdisjoint({"plain", "raises", "needs", *(name.replace("-", "_") for name in HANGING)})


def test_only_what_may_be_loaded_is_imported(checked: Checked) -> None:
    marked = {synthetic.module for synthetic in LISTED if synthetic.stage not in ("metadata", "name")}
    unmarked = {"gone", "syntax", "nulls", "latin"}  # what cannot be compiled leaves no mark
    assert checked.imported == marked - unmarked - {synthetic.module for synthetic in DISABLED}


def test_a_plugin_that_is_busy_for_ever_is_ended() -> None:
    """It would take time from all others as long as the process lives."""
    ended = threading.Event()

    def spin() -> None:
        try:
            while True:
                pass
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        bounded(spin, 0.1)
    assert ended.wait(60)


def test_an_interrupt_at_import_ends_the_command(tmp_path: Path) -> None:
    place = make_place(tmp_path, [Synthetic("interrupts", "raise KeyboardInterrupt", "ok")])
    for arguments in (["plugins", "check"], ["explain", GOAL]):
        done = place.run(*arguments)
        assert done.returncode == 130, done.stdout + done.stderr


PROBE = """
import sys
from llmos_core.cli.app import run_command
sys.argv = ["llmos", *sys.argv[1:]]
run_command()
print("MODULES", *sorted(sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "list"]], ids=" ".join)
def test_a_hundred_plugins_are_listed_without_an_import(tmp_path: Path, arguments: list[str]) -> None:
    place = make_place(tmp_path, trivial(100))
    done = place.python("-c", PROBE, *arguments)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("MODULES")]
    modules = set(line.split()[1:])
    assert modules.isdisjoint(HEAVY)
    assert not [name for name in modules if name.startswith(("trivial_", "llmos_plugin_"))]
    assert place.imported() == set()
    if arguments != ["--help"]:
        assert done.stdout.count("llmos-plugin-trivial-") == 100

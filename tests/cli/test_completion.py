"""Completion as users have it: the script in a real bash and a real zsh."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.test_cold_path import HEAVY
from tests.cli_fixtures import Llmos
from tests.shells import Terminal, bash_completes, program, with_llmos

RUNS = ["2026-01-02-000000-aaaaaa", "2026-01-01-235959-bbbbbb"]
TRACES = ["0123456789abcdef", "0bcdef0123456789", "f123456789abcdef"]

Completes = Callable[..., list[str]]


@pytest.fixture
def space(home: Path) -> Path:
    """A workspace with two projects, two runs and three traces."""
    space = home / "workspace"
    for name in ("data_analysis", "demo"):
        (space / "projects" / name).mkdir(parents=True)
    for run in RUNS:
        journal = space / "memories/sessions" / run[:10] / f"{run}.jsonl"
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.touch()
    for trace in TRACES:
        (space / "memories/traces" / trace).mkdir(parents=True)
    return space


@pytest.fixture
def completes(home: Path, space: Path, environment: Mapping[str, str]) -> Completes:
    def complete(*words: str, **variables: str) -> list[str]:
        return bash_completes(["llmos", *words], home, {**environment, **variables})

    return complete


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], ["run", "runs"]),
        (["runs", ""], ["list", "show"]),
        (["--w"], ["--workspace"]),
        (["run", "--proj"], ["--project"]),
        (["run", "--project", "d"], ["data_analysis", "demo"]),
        (["explain", "--project", "de"], ["demo"]),
        (["traces", "verify", "--project", "da"], ["data_analysis"]),
        (["projects", "show", "x"], []),
        (["runs", "show", "2026"], RUNS),
        (["runs", "show", "l"], ["last"]),
        (["run", "--continue", "2026-01-02"], RUNS[:1]),
        (["traces", "show", "0"], TRACES[:2]),
        (["traces", "verify", "f"], TRACES[2:]),
        (["traces", "show", "/"], []),
        (["traces", "show", "../"], []),
        (["traces", "show", "*"], []),
        (["run", "--mode", "fol"], ["follower"]),
        (["run", "--mode", "au"], ["auto"]),
        (["explain", "--mode", "lea"], ["learner"]),
        (["run", "--permission-mode", "p"], ["plan"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
def test_what_bash_offers(completes: Completes, words: list[str], offered: list[str]) -> None:
    assert completes(*words) == offered


@pytest.mark.slow
def test_the_workspace_that_was_given_is_the_one_read(completes: Completes, home: Path) -> None:
    (home / "other/projects/elsewhere").mkdir(parents=True)
    assert completes("--workspace", "other", "run", "--project", "") == ["elsewhere"]
    assert completes("run", "--workspace", "other", "--project", "") == ["elsewhere"]
    assert completes("run", "--project", "", LLMOS_WORKSPACE=str(home / "other")) == ["elsewhere"]
    assert completes("run", "--workspace", "missing", "--project", "") == []


@pytest.mark.slow
def test_what_cannot_be_read_is_passed_over_in_silence(completes: Completes, home: Path) -> None:
    (home / "llmos.toml").write_text("colour = ")
    assert completes("run", "--project", "") == []
    assert completes("run", "--mode", "") == []
    (home / "llmos.toml").unlink()
    (home / "workspace/memories/traces").rename(home / "gone")
    (home / "workspace/memories/traces").write_text("a file")
    assert completes("traces", "show", "") == []


@pytest.mark.slow
def test_commands_of_plugins_are_offered_and_a_broken_one_breaks_nothing(completes: Completes, home: Path) -> None:
    info = home / "site/llmos_plugin_greeter-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llmos-plugin-greeter\nVersion: 1.0\nSummary: Hi.\n")
    (info / "entry_points.txt").write_text("[llmos.commands]\ngreet = no_such_module:command\n")
    site = {"PYTHONPATH": str(home / "site")}
    assert completes("gree", **site) == ["greet"]
    assert completes("greet", "", **site) == []


PROBE = """
import os, sys
from llmos_core.cli.app import run_command
words = sys.argv[1:]
os.environ.update(COMP_WORDS=" ".join(["llmos", *words]), COMP_CWORD=str(len(words)), _LLMOS_COMPLETE="bash_complete")
sys.argv = ["llmos"]
try:
    run_command()
finally:
    print("MODULES", *sorted(sys.modules), file=sys.stderr)
"""


def modules(home: Path, environment: Mapping[str, str], *words: str) -> tuple[str, set[str]]:
    """What is completed, and what was imported for it."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        cwd=home,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    [line] = [line for line in done.stderr.splitlines() if line.startswith("MODULES")]
    return done.stdout, set(line.split()[1:])


@pytest.mark.parametrize("words", [["ru"], ["traces", "sh"], ["traces", "show", "0"], ["runs", "show", "2"]])
def test_completion_imports_nothing_heavy(
    home: Path, space: Path, environment: Mapping[str, str], words: list[str]
) -> None:
    offered, loaded = modules(home, environment, *words)
    assert offered
    assert loaded.isdisjoint(HEAVY)
    assert "llmos_core.system" not in loaded
    assert not [name for name in loaded if name.startswith("llmos_plugin_")]


def test_completing_commands_needs_no_models(home: Path, environment: Mapping[str, str]) -> None:
    offered, loaded = modules(home, environment, "r")
    assert offered == "plain,run\nplain,runs\nplain,resume\n"
    assert "pydantic" not in loaded
    assert "llmos_core.cli.run" not in loaded


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script_and_a_place_for_it(llmos: Llmos, shell: str) -> None:
    assert b"_LLMOS_COMPLETE" in llmos("completion", shell).stdout
    assert f"llmos completion {shell}".encode() in llmos("completion", "--help").stdout


def test_a_shell_that_is_none(llmos: Llmos) -> None:
    done = llmos("completion", "cmd")
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


START = {
    "bash": ("bash --norc --noprofile", 'eval "$(llmos completion bash)"'),
    "zsh": ("zsh -f", 'autoload -Uz compinit; compinit -u -D; eval "$(llmos completion zsh)"'),
}


@pytest.fixture(params=START)
def terminal(
    request: pytest.FixtureRequest, home: Path, space: Path, environment: Mapping[str, str]
) -> Iterator[Terminal]:
    command, setup = START[request.param]
    program(request.param)
    terminal = Terminal(command, home, with_llmos(environment))
    terminal.type(f"PS1='> '; {setup}; echo rea''dy")
    terminal.key("Enter")
    terminal.until(lambda screen: "ready" in screen.split("\n"))
    terminal.key("C-l")
    terminal.until(lambda screen: "ready" not in screen)
    yield terminal
    terminal.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("llmos doc", "llmos doctor"),
        ("llmos runs sh", "llmos runs show"),
        ("llmos run --perm", "llmos run --permission-mode"),
        ("llmos run --project de", "llmos run --project demo"),
        ("llmos traces show f", f"llmos traces show {TRACES[2]}"),
        ("llmos runs show 2026-01-02", f"llmos runs show {RUNS[0]}"),
        ("llmos run --dir folder-w", "llmos run --dir folder-with-data/"),
        ("llmos run --file goal", "llmos run --file goal.txt"),
    ],
)
def test_a_key_completes_the_word(terminal: Terminal, home: Path, typed: str, completed: str) -> None:
    (home / "folder-with-data").mkdir()
    (home / "goal.txt").write_text("Count the files")
    terminal.type(typed)
    terminal.key("Tab")
    terminal.until(lambda screen: f"> {completed}" in [line.rstrip() for line in screen.split("\n")])


@pytest.mark.slow
def test_where_several_fit_all_are_listed(terminal: Terminal) -> None:
    terminal.type("llmos run --project d")
    for _ in range(2):
        terminal.key("Tab")
    terminal.until(lambda screen: "data_analysis" in screen and "demo" in screen)

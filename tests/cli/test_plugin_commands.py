"""Commands of plugins: listed from metadata, imported when they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli_fixtures import Llmos

SOURCE = """
import click

@click.command()
@click.argument("name")
def greet(name):
    "Greet somebody."
    click.echo(f"Hello, {name}!")
"""


@pytest.fixture
def greeter(home: Path) -> dict[str, str]:
    """A distribution with two commands, one of which cannot be imported."""
    site = home / "site"
    info = site / "llmos_plugin_greeter-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "greeter.py").write_text(SOURCE)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: llmos-plugin-greeter\nVersion: 1.0\nSummary: Greets.\n"
    )
    (info / "entry_points.txt").write_text("[llmos.commands]\ngreet = greeter:greet\nbroken = no_such_module:command\n")
    return {"PYTHONPATH": str(site)}


def test_a_command_of_a_plugin(llmos: Llmos, greeter: dict[str, str]) -> None:
    listed = llmos("--help", **greeter)
    assert listed.returncode == 0
    assert b"Commands of plugins:" in listed.stdout
    told = [line.split(maxsplit=1) for line in listed.stdout.decode().splitlines()]
    assert ["greet", "Greet somebody."] in told
    assert ["broken", "Greets."] in told
    called = llmos("greet", "Ada", **greeter)
    assert called.stdout == b"Hello, Ada!\n"


def test_a_broken_command_harms_only_itself(llmos: Llmos, greeter: dict[str, str]) -> None:
    broken = llmos("broken", **greeter)
    assert broken.returncode == 1
    assert b"Traceback" not in broken.stderr
    assert b"The command broken of llmos-plugin-greeter cannot be loaded." in broken.stderr
    assert b"No module named 'no_such_module'" in broken.stderr
    assert llmos("plugins", "list", **greeter).returncode == 0


def test_an_unknown_command(llmos: Llmos) -> None:
    done = llmos("conquer")
    assert done.returncode == 2
    assert b"No such command 'conquer'" in done.stderr


def add(greeter: dict[str, str], distribution: str, points: str, needs: str = "llmos-core") -> None:
    info = Path(greeter["PYTHONPATH"]) / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\nRequires-Dist: {needs}\n"
    )
    (info / "entry_points.txt").write_text(f"[llmos.commands]\n{points}\n")


def test_a_disabled_command_says_so(llmos: Llmos, greeter: dict[str, str]) -> None:
    assert llmos("plugins", "disable", "greeter", **greeter).returncode == 0
    called = llmos("greet", "Ada", **greeter)
    assert called.returncode == 1
    assert b"llmos-plugin-greeter is disabled." in called.stderr
    assert b"greet" not in llmos("--help", **greeter).stdout
    assert llmos("plugins", "enable", "greeter", **greeter).returncode == 0
    assert llmos("greet", "Ada", **greeter).returncode == 0


def test_of_two_commands_of_one_name_neither_runs_until_the_settings_choose(
    llmos: Llmos, greeter: dict[str, str], home: Path
) -> None:
    add(greeter, "llmos-plugin-rival", "greet = greeter:greet")
    called = llmos("greet", "Ada", **greeter)
    assert called.returncode == 1
    assert b"It comes with llmos-plugin-greeter and llmos-plugin-rival." in called.stderr
    (home / "llmos.toml").write_text('[choose]\ncommands.greet = "llmos-plugin-rival"\n')
    assert llmos("greet", "Ada", **greeter).stdout == b"Hello, Ada!\n"


def test_no_plugin_takes_the_place_of_a_command_of_ours(llmos: Llmos, greeter: dict[str, str]) -> None:
    add(greeter, "llmos-plugin-thief", "runs = no_such_module:command\nplugins.list = no_such_module:command")
    assert llmos("runs", "list", **greeter).returncode == 0
    assert llmos("plugins", "list", **greeter).returncode == 0


def test_a_command_that_needs_another_core_is_not_imported(llmos: Llmos, greeter: dict[str, str]) -> None:
    add(greeter, "llmos-plugin-future", "soar = no_such_module:command", needs="llmos-core>=99")
    called = llmos("soar", **greeter)
    assert called.returncode == 1
    assert b"llmos-plugin-future is incompatible: it needs llmos-core >=99" in called.stderr


def test_a_subcommand_of_a_plugin(llmos: Llmos, greeter: dict[str, str]) -> None:
    add(greeter, "llmos-plugin-more", "plugins.greet = greeter:greet")
    assert llmos("plugins", "greet", "Ada", **greeter).stdout == b"Hello, Ada!\n"
    assert b"Greet somebody." in llmos("plugins", "--help", **greeter).stdout
    assert b"plugins.greet" not in llmos("--help", **greeter).stdout


def test_commands_stay_without_plugins(llmos: Llmos, greeter: dict[str, str]) -> None:
    assert llmos("--no-plugins", "greet", "Ada", **greeter).stdout == b"Hello, Ada!\n"
    assert b"No strategy is installed." in llmos("--no-plugins", "run", "anything", **greeter).stderr
    explained = llmos("--no-plugins=llmos-plugin-claude", "explain", "anything", **greeter).stdout
    assert b"FOLLOWER" in explained
    assert b"LEARNER" not in explained

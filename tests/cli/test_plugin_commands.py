"""Commands of plugins: listed from metadata, imported when they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos_testkit import PluginDistributions
from tests.cli_fixtures import Llmos, own_settings

SOURCE = """
import click

@click.command()
@click.argument("name")
def greet(name):
    "Greet somebody."
    click.echo(f"Hello, {name}!")
"""


@pytest.fixture
def greeter(plugin_distribution: PluginDistributions) -> PluginDistributions:
    """A distribution with two commands, one of which cannot be imported."""
    points = {"llmos.commands": {"greet": "greeter:greet", "broken": "no_such_module:command"}}
    plugin_distribution("llmos-plugin-greeter", {"greeter": SOURCE}, summary="Greets.", entry_points=points)
    return plugin_distribution


@pytest.mark.usefixtures("greeter")
def test_a_command_of_a_plugin(llmos: Llmos) -> None:
    listed = llmos("--help")
    assert listed.returncode == 0
    assert b"Commands of plugins:" in listed.stdout
    told = [line.split(maxsplit=1) for line in listed.stdout.decode().splitlines()]
    assert ["greet", "Greet somebody."] in told
    assert ["broken", "Greets."] in told
    called = llmos("greet", "Ada")
    assert called.stdout == b"Hello, Ada!\n"


@pytest.mark.usefixtures("greeter")
def test_a_broken_command_harms_only_itself(llmos: Llmos) -> None:
    broken = llmos("broken")
    assert broken.returncode == 1
    assert b"Traceback" not in broken.stderr
    assert b"The command broken of llmos-plugin-greeter cannot be loaded." in broken.stderr
    assert b"No module named 'no_such_module'" in broken.stderr
    assert llmos("plugins", "list").returncode == 0


def test_an_unknown_command(llmos: Llmos) -> None:
    done = llmos("conquer")
    assert done.returncode == 2
    assert b"No such command 'conquer'" in done.stderr


def add(install: PluginDistributions, name: str, commands: dict[str, str], needs: str = "llmos-core") -> None:
    install(name, {}, requires=[needs], entry_points={"llmos.commands": commands})


@pytest.mark.usefixtures("greeter")
def test_a_disabled_command_says_so(llmos: Llmos) -> None:
    assert llmos("plugins", "disable", "greeter").returncode == 0
    called = llmos("greet", "Ada")
    assert called.returncode == 1
    assert b"llmos-plugin-greeter is disabled." in called.stderr
    assert b"greet" not in llmos("--help").stdout
    assert llmos("plugins", "enable", "greeter").returncode == 0
    assert llmos("greet", "Ada").returncode == 0


def test_of_two_commands_of_one_name_neither_runs_until_the_settings_choose(
    llmos: Llmos, greeter: PluginDistributions, home: Path
) -> None:
    add(greeter, "llmos-plugin-rival", {"greet": "greeter:greet"})
    called = llmos("greet", "Ada")
    assert called.returncode == 1
    assert b"It comes with llmos-plugin-greeter and llmos-plugin-rival." in called.stderr
    own_settings(home).write_text('[choose]\ncommands.greet = "llmos-plugin-rival"\n')
    assert llmos("greet", "Ada").stdout == b"Hello, Ada!\n"


def test_no_plugin_takes_the_place_of_a_command_of_ours(llmos: Llmos, greeter: PluginDistributions) -> None:
    add(greeter, "llmos-plugin-thief", {"runs": "no_such_module:command", "plugins.list": "no_such_module:command"})
    assert llmos("runs", "list").returncode == 0
    assert llmos("plugins", "list").returncode == 0


def test_a_command_that_needs_another_core_is_not_imported(llmos: Llmos, greeter: PluginDistributions) -> None:
    add(greeter, "llmos-plugin-future", {"soar": "no_such_module:command"}, needs="llmos-core>=99")
    called = llmos("soar")
    assert called.returncode == 1
    assert b"llmos-plugin-future is incompatible: it needs llmos-core >=99" in called.stderr


def test_a_subcommand_of_a_plugin(llmos: Llmos, greeter: PluginDistributions) -> None:
    add(greeter, "llmos-plugin-more", {"plugins.greet": "greeter:greet"})
    assert llmos("plugins", "greet", "Ada").stdout == b"Hello, Ada!\n"
    assert b"Greet somebody." in llmos("plugins", "--help").stdout
    assert b"plugins.greet" not in llmos("--help").stdout


@pytest.mark.usefixtures("greeter")
def test_commands_stay_without_plugins(llmos: Llmos) -> None:
    assert llmos("--no-plugins", "greet", "Ada").stdout == b"Hello, Ada!\n"
    assert b"No strategy is installed." in llmos("--no-plugins", "run", "anything").stderr
    explained = llmos("--no-plugins=llmos-plugin-claude", "explain", "anything").stdout
    assert b"FOLLOWER" in explained
    assert b"LEARNER" not in explained


@pytest.mark.usefixtures("greeter")
def test_a_command_waits_for_settings_that_can_be_read(llmos: Llmos, home: Path) -> None:
    own_settings(home).write_text('disabled_plugins = ["greeter"')
    called = llmos("greet", "Ada")
    assert called.returncode != 0
    assert b"Hello" not in called.stdout
    assert b"config.toml cannot be read." in called.stderr
    assert b"Traceback" not in called.stderr
    assert b"Greet somebody." in llmos("--help").stdout
    assert b"No such command 'conquer'" in llmos("conquer").stderr


def test_a_docstring_cannot_steer_the_terminal(llmos: Llmos, plugin_distribution: PluginDistributions) -> None:
    source = SOURCE.replace("Greet somebody.", "\x1b[2JGreet.")
    points = {"llmos.commands": {"greet": "greeter:greet"}}
    plugin_distribution("llmos-plugin-greeter", {"greeter": source}, entry_points=points)
    listed = llmos("--help").stdout
    assert b"\\x1b[2JGreet." in listed
    assert b"\x1b" not in listed


def test_choices_that_are_none(llmos: Llmos, home: Path) -> None:
    own_settings(home).write_text("[choose]\nplugins = 3\n")
    listed = llmos("plugins", "list")
    assert listed.returncode != 0
    assert b"Traceback" not in listed.stderr
    assert b"config.toml: must say by kind and name whose contribution counts." in listed.stderr

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

"""``llmos plugins new``: a new plugin, made from the template."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from llmos_core import LLMOSError, UsageError
from llmos_core.commands import json_option, print_json

KINDS = ("tool", "guard", "agent", "memory", "strategy")
"""What the template can make; its question ``kinds`` offers the same."""

_PREFIX = "llmos-plugin-"
_PLUGIN_GROUP = "llmos.plugins"


@click.command()
@click.argument("name")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="What it brings; default: tool. Repeatable.",
)
@click.option("--description", metavar="TEXT", help="What it does, in one line.")
@click.option("--author", metavar="TEXT", help="Who makes it.")
@click.option("--force", is_flag=True, help="Write into a directory that has files; those of the same names are lost.")
@json_option
def new(
    name: str,
    directory: Path | None,
    kinds: tuple[str, ...],
    description: str | None,
    author: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make the plugin NAME in DIR (default: ./llmos-plugin-NAME), with tests that pass.

    NAME has small letters, digits and hyphens. On a terminal you are asked for what no option says.

    \b
    Examples:
      llmos plugins new my-greeter
      llmos plugins new my-greeter --kind tool --kind guard --description "Greets people"
      llmos plugins new my-greeter ~/src/my-greeter --kind memory --author "Ada Lovelace"
    """
    name = name.removeprefix(_PREFIX)
    target = directory or Path(f"{_PREFIX}{name}")
    _check_place(target, force=force)
    if not force:
        _check_name_is_free(name)
    given = {"name": name, "kinds": list(kinds) or None, "description": description, "author": author}
    answers = {question: answer for question, answer in given.items() if answer is not None}
    made = _copy(target, answers, ask=not as_json and sys.stdin.isatty() and sys.stdout.isatty())
    _tell(name, target, made["kinds"], as_json)


def _check_name_is_free(name: str) -> None:
    for point in entry_points(group=_PLUGIN_GROUP, name=name):
        distribution = point.dist.name if point.dist else point.value
        raise UsageError(
            f"There is a plugin {name} already.",
            f"{distribution} brings it, and of two with one name none is loaded.",
            "Choose another name, or add --force.",
        )


def _check_place(target: Path, *, force: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is no directory.", fix="Choose another: llmos plugins new NAME DIR")
    if not force and any(path.name != ".git" for path in target.iterdir()):
        raise UsageError(f"{target} has files in it.", fix="Choose another directory, or add --force.")


def _copy(target: Path, answers: dict[str, Any], *, ask: bool) -> dict[str, Any]:
    """Make the plugin; gives all answers, those of the template's defaults and of the user among them."""
    try:
        from copier import run_copy
    except ImportError as error:
        raise LLMOSError(
            "A plugin cannot be made without copier.", f"{error}.", 'Install it: pip install "llmos-testkit[new]"'
        ) from error
    try:
        made = run_copy(str(template()), target, answers, defaults=not ask, overwrite=True, quiet=True)
    except ValueError as error:  # what a validator of the template says of an answer
        raise _wrong_answer(error, answers) from error
    return dict(made.answers.combined)


def _wrong_answer(error: ValueError, answers: dict[str, Any]) -> UsageError:
    head, sign, reason = str(error).partition("': ")
    question = head.rpartition("'")[2]
    if not sign or question not in answers:
        return UsageError("The plugin cannot be made.", f"{error}.")
    given = json.dumps(answers[question], ensure_ascii=False)
    return UsageError(f"The {question} {given} cannot be used.", f"{reason[:1].upper()}{reason[1:]}.")


def template() -> Path:
    """The template's directory: a part of the installed package, or beside it in a checkout. Raises LLMOSError."""
    here = Path(__file__)
    for place in (here.with_name("template"), here.parents[3] / "llmos-plugin-template"):
        if (place / "copier.yml").is_file():
            return place
    raise LLMOSError(
        "The template is missing.", "It is no part of this installation.", "Install llmos-testkit again from its wheel."
    )


def _tell(name: str, target: Path, kinds: list[str], as_json: bool) -> None:
    place = target.resolve()
    steps = [
        *([] if place == Path.cwd() else [f"cd {shlex.quote(str(target))}"]),
        "pip install -e . --group dev",
        "python -m pytest",
        "llmos plugins list",
    ]
    if as_json:
        print_json(
            {
                "name": name,
                "distribution": f"{_PREFIX}{name}",
                "directory": str(place),
                "kinds": kinds,
                "next": steps,
            }
        )
        return
    click.echo(f"The plugin {name} was made: {place}")
    click.echo("\n".join(["Go on with:", *(f"  {step}" for step in steps)]), err=True)

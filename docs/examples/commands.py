"""A command, ``llmos words``, that counts the words of files.

The entry point names the function. It is imported when the command is called, not before::

    [project.entry-points."llmos.commands"]
    words = "llmos_plugin_words.commands:words"

A dotted name, such as ``"plugins.words"``, makes it a subcommand of a group of ours.
"""

from __future__ import annotations

from pathlib import Path

import click

from llmos_core import UsageError
from llmos_core.commands import json_option, print_json, print_table


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def words(files: tuple[Path, ...], as_json: bool) -> None:
    """Count the words of files."""
    counted = [(str(file), _count(file)) for file in files]
    if as_json:
        print_json([{"file": file, "words": number} for file, number in counted])
    else:
        print_table(("file", "words"), [(file, str(number)) for file, number in counted], "There are no files.")


def _count(file: Path) -> int:
    try:
        return len(file.read_text("utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read.", str(error), "Name a text file.") from error

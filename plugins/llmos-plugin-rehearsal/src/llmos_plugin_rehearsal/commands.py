"""``llmos lessons``: what the scripted model knows, and past runs that become lessons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from llmos_core.commands import complete_runs, json_option, one_line, print_json, print_table, workspace_option

if TYPE_CHECKING:
    from pathlib import Path

    from llmos_core import LLMOS
    from llmos_plugin_rehearsal.lesson import Lesson
    from llmos_plugin_rehearsal.recording import Recording


@click.group()
def lessons() -> None:
    """Lessons of the scripted model: list them, make one of a past run.

    \b
    Examples:
      llmos lessons list
      llmos lessons record last count-lines
    """


@lessons.command("list")
@workspace_option
@json_option
def list_(workspace: str | None, as_json: bool) -> None:
    """List the lessons.

    Those of the workspace come first; one with the name of a shipped lesson takes its place.

    \b
    Examples:
      llmos lessons list
      llmos lessons list --json
    """
    from llmos_plugin_rehearsal.lesson import known_lessons, load_lessons

    root = _root(_system(workspace))
    known, own = known_lessons(root), load_lessons(root / "lessons").usable
    sources = [(lesson, "own" if lesson in own else "shipped") for lesson in known.usable]
    for fault in known.faults:
        _warn(f"{fault.what} {fault.why}.")
    if as_json:
        print_json([_data(lesson, source) for lesson, source in sources])
        return
    rows = [(item.name, f"{source}, hidden" if item.hidden else source, item.example) for item, source in sources]
    print_table(("lesson", "from", "example"), rows, "There are no lessons.")


@lessons.command()
@click.argument("run", shell_complete=complete_runs)
@click.argument("name")
@click.option("--goal", metavar="PATTERN", help='Goals to answer, such as "Count the lines of {{file:path}}".')
@click.option("--force", is_flag=True, help="Replace a lesson of that name.")
@workspace_option
def record(run: str, name: str, goal: str | None, force: bool, workspace: str | None) -> None:
    """Make a lesson of a past run.

    RUN is an id, its last digits, or: last. The lesson NAME says what the model said and calls what it called; the
    tools run anew when it is played, without a key and without a network. With --goal, each value of a parameter
    becomes its placeholder wherever the run holds it.

    \b
    Examples:
      llmos lessons record last count-lines
      llmos lessons record 79bfdb count-lines --goal "Count the lines of {{file:path}}"
    """
    from llmos_plugin_rehearsal.recording import record as make
    from llmos_plugin_rehearsal.writing import write_lessons

    system = _system(workspace)
    root = _root(system)
    past = system.past(run)
    _check_name(name)
    recording = make(past, root, name, goal)
    _check_free(root, recording, force)
    _check_secrets(system, recording)
    paths = write_lessons(root / "lessons", recording.lessons)
    for path in paths:
        click.echo(f"Written: {path}")
    _tell(root, recording)


def _system(workspace: str | None) -> LLMOS:
    from llmos_core import LLMOS

    return LLMOS(workspace)


def _root(system: LLMOS) -> Path:
    assert system.workspace is not None
    return system.workspace.root


def _data(lesson: Lesson, source: str) -> dict[str, Any]:
    return {"name": lesson.name, "from": source, **lesson.model_dump(include={"goal", "about", "example", "hidden"})}


def _check_name(name: str) -> None:
    from llmos_core import UsageError
    from llmos_plugin_rehearsal.lesson import NAME

    if not re.fullmatch(NAME, name):
        why = "A name has lower-case letters, digits and -, and starts with a letter."
        raise UsageError(f"{name!r} is no name for a lesson.", why, "For example: count-lines")


def _check_free(root: Path, recording: Recording, force: bool) -> None:
    """Refuse names that are taken. Another file's lesson is never replaced: there would be two of one name."""
    from llmos_core import UsageError
    from llmos_plugin_rehearsal.lesson import SHIPPED, names_of

    elsewhere = {name: path for path, name in names_of(root / "lessons") if path.stem != name}
    shipped = {name for _, name in names_of(SHIPPED)}
    for lesson in recording.lessons:
        if lesson.name in elsewhere:
            fix = "Choose another name, or move that file away."
            raise UsageError(f"There is a lesson {lesson.name} already.", f"It is in {elsewhere[lesson.name]}.", fix)
        path = root / "lessons" / f"{lesson.name}.yaml"
        if not force and (lesson.name in shipped or path.exists()):
            why = f"It is in {path}." if path.exists() else "It is shipped; one of yours would take its place."
            raise UsageError(f"There is a lesson {lesson.name} already.", why, "Choose another name, or add --force.")


def _check_secrets(system: LLMOS, recording: Recording) -> None:
    from llmos_core import UsageError

    texts = list(recording.texts)
    if any(system.machine.redact(text) != text for text in texts):
        raise UsageError(
            "The run cannot become a lesson.", "Its texts hold a credential.", "Choose a run that never saw it."
        )
    if any("***" in text for text in texts):
        _warn("The texts hold ***, which may stand for a credential that was struck out: the lesson plays the stars.")


def _tell(root: Path, recording: Recording) -> None:
    """What the user should know, and what to do now."""
    from llmos_plugin_rehearsal.lesson import find_lesson, known_lessons

    known = known_lessons(root).usable
    for lesson in recording.lessons:
        found = find_lesson(known, lesson.example)
        if found is not None and found[0].name != lesson.name:
            _warn(f"The lesson {found[0].name} comes first and answers this too: {one_line(lesson.example, 80)}")
    if recording.agents:
        click.echo(f"It needs these agents: {', '.join(recording.agents)}.")
    click.echo("Play it without a key: llmos run --relearn GOAL, where GOAL is:")
    click.echo(f"  {one_line(recording.lesson.example, 200)}")


def _warn(text: str) -> None:
    click.echo(f"Warning: {one_line(text, 2_000)}", err=True)

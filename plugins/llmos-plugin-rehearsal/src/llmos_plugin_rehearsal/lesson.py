"""Lessons: what the scripted model knows, read from YAML files and checked in full before they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from llmos_core import Record, UsageError
from llmos_plugin_rehearsal.goals import match_goal, parameters
from llmos_plugin_rehearsal.placeholders import names, strings

SHIPPED = Path(__file__).parent / "lessons"
"""The folder of the lessons that come with this plugin."""

NAME = r"^[a-z][a-z0-9-]*$"
"""What the name of a lesson looks like."""

MAX_LESSON_BYTES = 1_000_000
"""The largest lesson file accepted."""

MAX_DEPTH = 50
"""How deep the values of a lesson may be nested."""

ToolUse = Annotated[dict[str, dict[str, JsonValue]], Field(min_length=1, max_length=1)]
"""One tool call as a lesson writes it: ``{ToolName: {its input}}``."""


class Turn(Record):
    """One message of the model: a text, tool calls, or both.

    ``on_error`` is said, and the conversation ended, if one of the calls fails; with ``may_fail`` it goes on.
    """

    text: str = ""
    tools: tuple[ToolUse, ...] = ()
    on_error: str | None = None
    may_fail: bool = False

    @property
    def calls(self) -> Iterator[tuple[str, dict[str, JsonValue]]]:
        """The tool calls as pairs of a tool name and an input."""
        return (call for use in self.tools for call in use.items())


class Lesson(Record):
    """A script of turns that answers every goal of one pattern.

    ``hidden`` keeps a lesson that serves only as the task of a sub-agent out of the list shown to users.
    """

    name: Annotated[str, Field(pattern=NAME)]
    goal: str
    about: str
    example: str
    hidden: bool = False
    turns: Annotated[tuple[Turn, ...], Field(min_length=1)]

    def match(self, goal: str) -> dict[str, str] | None:
        """The parameter values if this lesson answers the goal, else None."""
        return match_goal(self.goal, goal)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse what would only show when the lesson is played. Messages begin with the key they are about."""
        try:
            known = {*parameters(self.goal), "workdir", "workspace"}
        except ValueError as error:
            raise ValueError(f"goal: {error}") from error
        if self.match(self.example) is None:
            raise ValueError("example: it does not fit the lesson's own goal")
        for index, turn in enumerate(self.turns):
            self._check_shape(index, turn)
            later = known | self._result_names(index)
            _check_placeholders({"text": turn.text, "tools": [{**use} for use in turn.tools]}, f"turns.{index}", known)
            _check_placeholders({"on_error": turn.on_error}, f"turns.{index}", later)
            known = later
        return self

    def _check_shape(self, index: int, turn: Turn) -> None:
        last = index == len(self.turns) - 1
        if last and (turn.tools or not turn.text.strip()):
            raise ValueError(f"turns.{index}: the last turn has a text and no tools")
        if not last and not turn.tools:
            raise ValueError(f"turns.{index}: a turn without tools ends the conversation, so it must be the last")
        if turn.on_error is not None and not turn.tools:
            raise ValueError(f"turns.{index}.on_error: there is no tool call that could fail")
        if turn.may_fail and (turn.on_error is not None or not turn.tools):
            raise ValueError(f"turns.{index}.may_fail: it is for turns with tools and without on_error")

    def _result_names(self, index: int) -> set[str]:
        """The placeholders of all results that are known once the turn's calls have run."""
        count = sum(len(turn.tools) for turn in self.turns[: index + 1])
        return {f"results.{number + 1}" for number in range(count)} | ({"results.last"} if count else set())


def _check_placeholders(value: JsonValue, key: str, known: set[str]) -> None:
    for at, text in strings(value, key):
        for name in names(text):
            if name not in known:
                raise ValueError(f"{at}: {{{{{name}}}}} is unknown here; known are {', '.join(sorted(known))}")


@dataclass(frozen=True, slots=True)
class Lessons:
    """The lessons that can be played, the first that fits a goal first, and why the others cannot."""

    usable: tuple[Lesson, ...]
    faults: tuple[UsageError, ...] = ()


def known_lessons(workspace: Path) -> Lessons:
    """The workspace's own lessons, then those shipped whose names it does not take. Reads files."""
    own, shipped = load_lessons(workspace / "lessons"), load_lessons(SHIPPED)
    taken = {lesson.name for lesson in own.usable}
    return Lessons(
        own.usable + tuple(lesson for lesson in shipped.usable if lesson.name not in taken), own.faults + shipped.faults
    )


def find_lesson(lessons: Sequence[Lesson], goal: str) -> tuple[Lesson, dict[str, str]] | None:
    """The first lesson that answers the goal, with the parameter values."""
    for lesson in lessons:
        values = lesson.match(goal)
        if values is not None:
            return lesson, values
    return None


def load_lessons(folder: Path) -> Lessons:
    """The lessons of a folder's ``*.yaml`` files by file name; none if there is no such folder.

    A file that is no lesson, or whose name another one has taken, is a fault that names it: the others can be used.
    """
    by_name: dict[str, Lesson] = {}
    faults = []
    try:
        for path in _files(folder):
            try:
                lesson = load_lesson(path)
                if lesson.name in by_name:
                    raise _broken(path, f"name: another lesson of this folder is called {lesson.name}")
                by_name[lesson.name] = lesson
            except UsageError as error:
                faults.append(error)
    except OSError as error:
        faults.append(UsageError(f"The lessons in {folder} cannot be read.", error.strerror or str(error)))
    return Lessons(tuple(by_name.values()), tuple(faults))


def names_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a folder that hold lessons, and the lessons' names. Raises OSError."""
    for path in _files(folder):
        with suppress(UsageError):
            yield path, load_lesson(path).name


def _files(folder: Path) -> Sequence[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".yaml")
    except FileNotFoundError:
        return ()


def load_lesson(path: Path) -> Lesson:
    """Read one lesson file. Raises UsageError naming the file and the key that is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _broken(path, error.strerror or str(error)) from error
    return read_lesson(path, content)


def read_lesson(path: Path, content: bytes) -> Lesson:
    """The lesson that a file with this content holds. Raises UsageError naming the file and the key that is wrong."""
    if len(content) > MAX_LESSON_BYTES:
        raise _broken(path, f"it has {len(content):,} bytes; at most {MAX_LESSON_BYTES:,} are accepted")
    data = _parse(path, content)
    if not isinstance(data, dict):
        raise _broken(path, "it does not hold keys and values")
    try:
        return Lesson.model_validate(data)
    except ValidationError as error:
        raise _broken(path, first_fault(error)) from error


def _parse(path: Path, content: bytes) -> object:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(path, yaml.parse(content, loader))
        return yaml.load(content, loader)  # noqa: S506  (a safe loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _broken(path, f"{line}{error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _broken(path, "it is not readable as YAML") from error


def _check_events(path: Path, events: Iterable[object]) -> None:
    """Refuse what could make a small file large or overflow the stack, before any value is built."""
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _broken(path, f"its values are nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            raise _broken(path, "YAML aliases are not accepted")


def first_fault(error: ValidationError) -> str:
    """What is wrong first, in words that begin with the key."""
    fault = error.errors(include_url=False)[0]
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _broken(path: Path, why: str) -> UsageError:
    return UsageError(f"The lesson {path} cannot be used.", why, "Correct the file or move it out of its folder.")

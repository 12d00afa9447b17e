"""Lessons as YAML files that are read again before anything relies on them."""

from __future__ import annotations

from pathlib import Path

import yaml

from llmos_core import UsageError, write_atomic
from llmos_plugin_rehearsal.lesson import Lesson, read_lesson

_TEXT = "tag:yaml.org,2002:str"
_WIDTH = 110


class _Readable(yaml.SafeDumper):
    """Texts of several lines as blocks, others as plain as YAML can write them."""


class _Exact(yaml.SafeDumper):
    """All texts in double quotes, whatever is not ASCII as an escape."""


def _as_block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_TEXT, text, style="|" if "\n" in text else None)


def _in_quotes(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_TEXT, text, style='"')


_Readable.add_representer(str, _as_block)
_Exact.add_representer(str, _in_quotes)


def lesson_file(path: Path, lesson: Lesson) -> bytes:
    """The content of a lesson's file. Raises UsageError for a lesson that no file can hold."""
    data = lesson.model_dump(mode="json", exclude_unset=True)
    # What is easy to read does not keep every text as it is: U+0085, for one, comes back as a line's end.
    for dumper in (_Readable, _Exact):
        text = yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=dumper is _Readable, width=_WIDTH)
        content = text.encode()
        try:
            if read_lesson(path, content) == lesson:
                return content
        except UsageError as error:
            fault = error.why
        else:
            fault = "YAML does not keep one of its texts as it is"
    raise UsageError(f"The lesson {lesson.name} cannot be written.", f"{fault[:1].upper()}{fault[1:]}.")


def write_lessons(folder: Path, lessons: tuple[Lesson, ...]) -> list[Path]:
    """Write lessons as files of a folder, all or none of them; the first one last, for it needs the others.

    Raises UsageError for a lesson that no file can hold.
    """
    paths = [folder / f"{lesson.name}.yaml" for lesson in lessons]
    contents = [lesson_file(path, lesson) for path, lesson in zip(paths, lessons, strict=True)]
    folder.mkdir(exist_ok=True)
    for path, content in reversed(list(zip(paths, contents, strict=True))):
        write_atomic(path, content)
    return paths

"""The lesson in the README is a real one, and what the README lists is what there is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos_plugin_rehearsal.goals import TYPES
from llmos_plugin_rehearsal.lesson import SHIPPED, Lesson, Turn, load_lessons

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LESSON = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]


async def test_the_example_works(make_agent: Callable[..., Any], add_lesson: Callable[[str, str], Path]) -> None:
    add_lesson("line-count", LESSON)
    agent = make_agent()
    (agent.run.workspace / "a.txt").write_text("one\ntwo\n")
    answer = await agent.work("Count the lines of a.txt and keep the number in lines.txt")
    assert answer == "a.txt has 2 lines; lines.txt says so too."
    assert (agent.run.workdir / "lines.txt").read_text() == "2\n"


async def test_its_error_text_works(make_agent: Callable[..., Any], add_lesson: Callable[[str, str], Path]) -> None:
    add_lesson("line-count", LESSON)
    answer = await make_agent().work("Count the lines of no.txt and keep the number in lines.txt")
    assert answer.startswith("I cannot count the lines of no.txt: Exit code 1\n")


def test_every_shipped_lesson_key_and_type_is_described() -> None:
    for lesson in load_lessons(SHIPPED).usable:
        assert f"| `{lesson.name}` | {lesson.example} |" in README
    for name in (*Lesson.model_fields, *TYPES):
        assert f"| `{name}` |" in README
    for name in Turn.model_fields:
        assert f"`{name}`" in README

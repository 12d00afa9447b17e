from __future__ import annotations

from pathlib import Path

import pytest

from llmos_core import UsageError
from llmos_plugin_rehearsal.lesson import (
    MAX_LESSON_BYTES,
    SHIPPED,
    Lessons,
    find_lesson,
    known_lessons,
    load_lesson,
    load_lessons,
)

SHIPPED_NAMES = [
    "api-table",
    "count-files",
    "csv-report",
    "git-history",
    "log-report",
    "primes",
    "rename-files",
    "repair-test",
]
HEAD = "name: hello\ngoal: Say hello to {{who:word}}\nabout: Greets.\nexample: Say hello to Ada\n"
GOOD = HEAD + "turns:\n  - tools:\n      - Bash: {command: 'echo {{who}}'}\n  - text: '{{results.1}}'\n"


def broken(turns: str) -> str:
    return HEAD + "turns:\n" + turns


FAULTS = {
    "not-yaml": ("a: [1", "line 2: "),
    "tabs": ("name:\n\t- x", "line 2: "),
    "list": ("- a\n- b\n", "it does not hold keys and values"),
    "empty": ("", "it does not hold keys and values"),
    "alias": ("name: &a x\ngoal: *a\n", "YAML aliases are not accepted"),
    "python": ("name: !!python/object/apply:os.getcwd []\n", "line 1: could not determine a constructor for the tag"),
    "missing": (HEAD, "turns: Field required"),
    "no-turns": (HEAD + "turns: []\n", "turns: Tuple should have at least 1 item"),
    "typo": (GOOD + "hiden: true\n", "hiden: Extra inputs are not permitted"),
    "typo-turn": (broken("  - txt: x\n"), "turns.0.txt: Extra inputs are not permitted"),
    "number": (broken("  - text: 5\n"), "turns.0.text: Input should be a valid string"),
    "name": (GOOD.replace("name: hello", "name: Hello You"), "name: String should match pattern '^[a-z][a-z0-9-]*$'"),
    "goal": (
        GOOD.replace("{{who:word}}", "{{who:name}}"),
        "goal: the type name of who is unknown; the types are int, word, path, text",
    ),
    "example": (GOOD.replace("to Ada", "to Ada and Bob"), "example: it does not fit the lesson's own goal"),
    "two-tools": (
        broken("  - tools: [{Read: {}, Write: {}}]\n  - text: x\n"),
        "turns.0.tools.0: Dictionary should have at most 1 item",
    ),
    "input": (
        broken("  - tools: [{Read: file}]\n  - text: x\n"),
        "turns.0.tools.0.Read: Input should be a valid dictionary",
    ),
    "date": (
        broken("  - tools: [{Read: {a: 2020-01-01}}]\n  - text: x\n"),
        "turns.0.tools.0.Read.a: input was not a valid JSON value",
    ),
    "last-tools": (broken("  - tools: [{Read: {}}]\n"), "turns.0: the last turn has a text and no tools"),
    "last-empty": (broken("  - text: ' '\n"), "turns.0: the last turn has a text and no tools"),
    "early-end": (
        broken("  - text: x\n  - text: y\n"),
        "turns.0: a turn without tools ends the conversation, so it must be the last",
    ),
    "on-error": (
        broken("  - text: x\n    on_error: y\n"),
        "turns.0.on_error: there is no tool call that could fail",
    ),
    "may-fail": (
        broken("  - tools: [{Read: {}}]\n    may_fail: true\n    on_error: y\n  - text: x\n"),
        "turns.0.may_fail: it is for turns with tools and without on_error",
    ),
    "placeholder": (
        broken("  - text: 'Hi {{woh}}'\n"),
        "turns.0.text: {{woh}} is unknown here; known are who, workdir, workspace",
    ),
    "placeholder-input": (
        broken("  - tools: [{Read: {a: [{b: '{{Who}}'}]}}]\n  - text: x\n"),
        "turns.0.tools.0.Read.a.0.b: {{Who}} is unknown here; known are who, workdir, workspace",
    ),
    "early-result": (
        broken("  - tools: [{Read: {a: '{{results.1}}'}}]\n  - text: x\n"),
        "turns.0.tools.0.Read.a: {{results.1}} is unknown here; known are who, workdir, workspace",
    ),
    "late-result": (
        broken("  - tools: [{Read: {}}]\n  - text: '{{results.2}}'\n"),
        "turns.1.text: {{results.2}} is unknown here; known are results.1, results.last, who, workdir, workspace",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_lesson_is_one_clear_error(fault: str, tmp_path: Path) -> None:
    text, why = FAULTS[fault]
    path = tmp_path / f"{fault}.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_lesson(path)
    assert caught.value.what == f"The lesson {path} cannot be used."
    assert caught.value.why.startswith(why)
    assert "\n" not in caught.value.why
    assert caught.value.fix == "Correct the file or move it out of its folder."


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"name: \xff\xfe", "it is not readable as YAML"),
        (b"name: \x00", "it is not readable as YAML"),
        (b"name: 2020-13-45", "it is not readable as YAML"),
        (b"[" * 400_000 + b"]" * 400_000, "its values are nested more than 50 deep"),
        (b"#" * (MAX_LESSON_BYTES + 1), "it has 1,000,001 bytes; at most 1,000,000 are accepted"),
    ],
)
def test_bytes_that_are_no_lesson(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_lesson(path)
    assert caught.value.why == why


def test_an_unreadable_lesson(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    [fault] = load_lessons(tmp_path).faults
    assert fault.why == "Is a directory"


def test_a_lessons_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "lessons").write_text("")
    lessons = known_lessons(tmp_path)
    assert list(map(str, lessons.faults)) == [f"The lessons in {tmp_path / 'lessons'} cannot be read.\nNot a directory"]
    assert [lesson.name for lesson in lessons.usable] == SHIPPED_NAMES


def test_a_broken_lesson_leaves_the_others_usable(tmp_path: Path) -> None:
    (tmp_path / "lessons").mkdir()
    for name, text in (("a", "name: ["), ("b", GOOD), ("primes", GOOD.replace("Ada", "nobody at all"))):
        (tmp_path / "lessons" / f"{name}.yaml").write_text(text, encoding="utf-8")
    lessons = known_lessons(tmp_path)
    assert [lesson.name for lesson in lessons.usable] == ["hello", *SHIPPED_NAMES]
    faults = [fault.what for fault in lessons.faults]
    assert faults == [f"The lesson {tmp_path / 'lessons' / name} cannot be used." for name in ("a.yaml", "primes.yaml")]


def test_a_good_lesson_loads_and_matches(tmp_path: Path) -> None:
    path = tmp_path / "hello.yaml"
    path.write_text(GOOD, encoding="utf-8")
    lesson = load_lesson(path)
    assert lesson.match("say hello to Bob") == {"who": "Bob"}
    assert not lesson.hidden
    assert [list(turn.calls) for turn in lesson.turns] == [[("Bash", {"command": "echo {{who}}"})], []]


def test_of_two_lessons_of_one_name_the_first_is_used(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(GOOD.replace("Greets", name), encoding="utf-8")
    lessons = load_lessons(tmp_path)
    assert [lesson.about for lesson in lessons.usable] == ["a."]
    [fault] = lessons.faults
    assert fault.what == f"The lesson {tmp_path / 'b.yaml'} cannot be used."
    assert fault.why == "name: another lesson of this folder is called hello"


def test_other_files_are_no_lessons(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("[")
    assert load_lessons(tmp_path) == load_lessons(tmp_path / "missing") == Lessons(())


def test_own_lessons_come_first_and_replace_shipped_ones(tmp_path: Path) -> None:
    shipped = load_lessons(SHIPPED)
    assert ([lesson.name for lesson in shipped.usable], shipped.faults) == (SHIPPED_NAMES, ())
    assert known_lessons(tmp_path) == shipped
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons" / "z.yaml").write_text(GOOD.replace("name: hello", "name: primes"), encoding="utf-8")
    lessons = known_lessons(tmp_path).usable
    assert [lesson.name for lesson in lessons] == ["primes", *(name for name in SHIPPED_NAMES if name != "primes")]
    assert find_lesson(lessons, "Say hello to Bob") == (lessons[0], {"who": "Bob"})
    assert find_lesson(lessons, "Create a Python script that prints the primes below 9 and run it") is None

"""A plain text is never taken for anything else, by YAML, by JSON, or by a reader's eye."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from llmos_core.trace.scalars import (
    from_json,
    is_argument,
    is_plain,
    read_argument,
    read_line,
    shown,
    visible,
    write_argument,
    write_line,
    write_yaml,
)

WORDS = "true FALSE Yes no On off y N null ~ .inf -.INF +.inf .NaN nan 0 -0 007 0b1 0x1F 0o17 1_0 1. .5 +1 1e5 1.e+3"
MORE = (
    "1:30 1:30:00.5 2020-01-01 2020-1-1T1:1:1Z = << - ? : -- --- ... # ! & * | > % @ ` ' \" , [ ] { } {{a}} a: a:b a#b"
)
typical = st.text(alphabet="0123456789abcdefxoTZ.:+-_ {}~#,'\"naulyostrue", max_size=12)


@given(typical | st.text())
def test_yaml_and_json_read_a_plain_text_as_that_text(text: str) -> None:
    if is_plain(text):
        for source in (text, f"k: {text}", f"- {text}"):
            for loader in (yaml.CSafeLoader, yaml.SafeLoader):
                found = yaml.load(source, Loader=loader)
                assert found in (text, {"k": text}, [text])
        with pytest.raises(ValueError):  # noqa: PT011
            json.loads(text)


@pytest.mark.parametrize(
    "text", [*(WORDS + " " + MORE).split(" "), "a: b", "a #b", "# a", "- a", "2020-01-01 10:00:00"]
)
def test_each_look_alike_stays_text(text: str) -> None:
    assert yaml.load(f"k: {write_yaml(text)}", Loader=yaml.CSafeLoader) == {"k": text}
    assert yaml.load(f"- {write_yaml(text)}", Loader=yaml.SafeLoader) == [text]
    assert read_argument(write_argument(text)) == text


@given(typical | st.text())
@example("\u200b")
@example("\U000e0041\x00\ud7ff\ufffe")
def test_every_text_survives_every_form(text: str) -> None:
    assert read_argument(write_argument(text)) == text
    assert read_line(write_line(text)) == text
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        assert yaml.load(f"k: {write_yaml(text)}", Loader=loader) == {"k": text}
    for written in (write_argument(text), write_line(text), write_yaml(text)):
        assert written.isprintable() or not (set(written) - {" "}).isdisjoint(text)
        assert not set(written) & set("\n\t\r\0\x1b\x85\xa0\u2028\ufeff\u202e")


def test_common_texts_stay_plain() -> None:
    for text in (
        "primes.py",
        "{{workdir}}/a b.txt",
        "ls -l | wc -l",
        "git@host:x",
        "Zoë's 日本 🙂",
        "a:b",
        "a#b",
        "100 %",
    ):
        assert write_argument(text) == text
    assert not is_plain("{{workdir}}/x")
    assert not is_argument("{{workdir}}: x")
    assert not is_argument("{{Work}}")


@pytest.mark.parametrize(
    "raw",
    [
        *(
            "",
            " a",
            "a ",
            "yes",
            "1_000",
            "0x1f",
            "- a",
            "a: b",
            '"a',
            "'a'",
            "[1",
            "{a: 1}",
            "NaN",
            "-Infinity",
            "1e999",
        ),
        *('{"a": 1, "a": 2}', '"\\ud800"', '["\\uDFFF"]', "[" * 100_000, '"a\tb"', "9" * 5000),
    ],
    ids=lambda raw: raw[:20],
)
def test_what_is_neither_plain_nor_json_is_refused(raw: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_argument(raw)


def test_a_line_of_text_is_text_only() -> None:
    assert read_line("123") == "123"
    assert read_line("a: b # c") == "a: b # c"
    with pytest.raises(ValueError):  # noqa: PT011
        read_line(" a")
    with pytest.raises(ValueError):  # noqa: PT011
        read_line("")


def test_json_keeps_kinds() -> None:
    assert repr(from_json("[1, 1.0, true, -0.0, 1E2, null]")) == "[1, 1.0, True, -0.0, 100.0, None]"


def test_for_messages() -> None:
    assert shown("a\x1b\nb" + "x" * 100) == '"a\\u001b\\nb' + "x" * 75 + '…"'
    assert visible("a\x1b[0m\tb\r") == "a\\u001b[0m\tb\\r"

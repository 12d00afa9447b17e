from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from llmos_plugin_rehearsal.placeholders import fill, fill_text, names, strings

VALUES = {"limit": "100", "results.1": "{{limit}} {{{{", "workdir": "/w"}


def test_placeholders_are_replaced_once() -> None:
    assert fill_text("{{limit}} and {{ limit }} in {{workdir}}/x", VALUES) == "100 and 100 in /w/x"
    assert fill_text("{{results.1}}", VALUES) == "{{limit}} {{{{"


def test_four_braces_write_two() -> None:
    assert fill_text("{{{{limit}} is {{limit}}", VALUES) == "{{limit}} is 100"
    assert list(names("{{{{limit}} {{a}} {{results.last}}")) == ["a", "results.last"]


def test_other_braces_stay() -> None:
    text = '{ {1: {2: 3}} } {{}} {{"a"}} {{a b}} {{1}} }} {{'
    assert fill_text(text, VALUES) == text
    assert list(names(text)) == []


def test_strings_inside_json_are_filled_and_named() -> None:
    value: JsonValue = {"a": ["{{limit}}", 1, None, {"{{limit}}": "x {{limit}}"}], "b": True}
    assert fill(value, VALUES) == {"a": ["100", 1, None, {"{{limit}}": "x 100"}], "b": True}
    assert dict(strings(value, "top")) == {"top.a.0": "{{limit}}", "top.a.3.{{limit}}": "x {{limit}}"}


@settings(deadline=None)
@given(st.text())
def test_text_survives_when_its_braces_are_doubled(text: str) -> None:
    assert fill_text(text.replace("{{", "{{{{"), {}) == text


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_a_value_is_inserted_as_it_is(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", ""), after.replace("{", "").lstrip("}")
    assert fill_text(f"{before}{{{{x}}}}{after}", {"x": value}) == before + value + after

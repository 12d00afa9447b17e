from __future__ import annotations

import re

import pytest

from llmos_plugin_rehearsal.goals import match_goal, parameters

COPY = "Copy {{count:int}} of {{what:text}} to {{target:path}}"


@pytest.mark.parametrize(
    ("pattern", "goal", "values"),
    [
        ("Say hello", "  say \n HELLO ", {}),
        ("Say {{who:word}}", "SAY McKay", {"who": "McKay"}),
        (COPY, "copy 3 of The Blue  Sky to Out/A.md", {"count": "3", "what": "The Blue Sky", "target": "Out/A.md"}),
        (COPY, "copy -007 of a to b to c", {"count": "-7", "what": "a to b", "target": "c"}),
        ("Caf\u00e9 {{n:int}}", "CAFE\u0301 5", {"n": "5"}),
        ("What is (a+b)*{{n:int}}?", "what is (A+B)*2?", {"n": "2"}),
        ("Look at {{a:path}}", "look at .", {"a": "."}),
        ("Fill {{{{x}} and {{{{{ {{n:int}}", "fill {{x}} and {{{ 5", {"n": "5"}),
        ("{{{{{{{{{", "{{{{{", {}),
    ],
)
def test_a_goal_that_fits_gives_its_values(pattern: str, goal: str, values: dict[str, str]) -> None:
    assert match_goal(pattern, goal) == values


@pytest.mark.parametrize(
    ("pattern", "goal"),
    [
        ("Say hello", "Say hello now"),
        ("Say hello", "Do not say hello"),
        ("Say hello", "Sayhello"),
        ("Say {{who:word}}", "Say you two"),
        ("Below {{n:int}}", "Below 1.5"),
        ("Below {{n:int}}", "Below 1,000"),
        ("Below {{n:int}}", "Below \u0663"),
        ("Below {{n:int}}", "Below " + "9" * 19),
        ("Read {{p:path}}", "Read ../secret"),
        ("Read {{p:path}}", "Read a/../../secret"),
        ("Read {{p:path}}", "Read /etc/passwd"),
        ("Read {{p:path}}", "Read two words"),
        ("Read {{p:path}}", "Read a';touch${IFS}b'"),
        ("Say {{what:text}}", "Say "),
    ],
)
def test_a_goal_that_differs_does_not_fit(pattern: str, goal: str) -> None:
    assert match_goal(pattern, goal) is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("Below {{n}}", "{{n}} is no parameter; write {{name:type}}"),
        ("Below {{N:int}}", "{{N:int}} is no parameter; write {{name:type}}"),
        ("Below {{n:float}}", "the type float of n is unknown; the types are int, word, path, text"),
        ("From {{n:int}} to {{n:int}}", "the parameter n occurs twice"),
        ("In {{workspace:path}}", "the parameter name workspace is reserved"),
    ],
)
def test_a_broken_pattern_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        parameters(pattern)


def test_parameters_are_named_in_order() -> None:
    assert parameters(COPY) == ("count", "what", "target")

"""What is too much for judging is not allowed, and ends soon."""

from __future__ import annotations

import sys

import pytest

from llmos_plugin_security.judge import Judge

BOMBS = {
    "a megabyte": ("echo " + "a" * 1_000_000, "too-large"),
    "many commands": ("ls;" * 16_000, None),
    "deep substitutions": ("echo " + "$(echo " * 400 + "x" + ")" * 400, "too-deep"),
    "deep parentheses": ("(" * 2_000 + "ls" + ")" * 2_000, None),
    "open parentheses": ("(" * 20_000, None),
    "braces": ("echo " + "{a,b}" * 30, None),
    "loops in loops": ("for a in 1 2 3 4 5 6 7 8; do " * 12 + "ls" + "; done" * 12, "too-complex"),
    "functions that call": (
        "".join(f"f{n}() {{ f{n + 1}; f{n + 1}; }}; " for n in range(30)) + "f30() { ls; }; f0",
        None,
    ),
    "shells in shells": ("bash -c " * 60 + "ls", None),
    "eval of eval": ("eval " * 60 + "rm -rf /", None),
    "quotes": ("'" * 9_999, None),
    "backslashes": ("\\" * 9_999, None),
    "a regular expression's worst": ("awk '" + "/a" * 5_000 + "'", None),
    "many strings for sed": ("sed '" + "s/a/b/;" * 5_000 + "' x", None),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered(judge: Judge, name: str) -> None:
    text, rule = BOMBS[name]
    judgement = judge.command(text)
    if rule is not None:
        assert judgement.verdict in {"ask", "deny"}
        assert judgement.rule == rule
    if "rm -rf" in text:
        assert judgement.verdict == "deny" or judgement.rule.startswith("too-")


def test_deep_trees_do_not_need_deep_recursion(judge: Judge) -> None:
    text = "echo " + "$(echo " * 30 + "$(rm -rf /)" + ")" * 30
    before = sys.getrecursionlimit()
    assert judge.command(text).verdict != "allow"
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize(
    "text", ["ls\0", "ls \x07", "ls \u202e", "ls \ud800", "echo 'x", "if", ")", "ls |", None, 7, ["ls"]]
)
def test_what_is_no_shell_is_not_allowed(judge: Judge, text: object) -> None:
    assert judge.command(text).verdict in {"ask", "deny"}


@pytest.mark.parametrize("text", ["", "   ", "# only a comment", "\n"])
def test_nothing_is_allowed(judge: Judge, text: str) -> None:
    assert judge.command(text).verdict == "allow"


@pytest.mark.parametrize("char", [chr(code) for code in range(0xE000, 0xE00F)])
def test_characters_that_the_guard_uses_itself_are_refused(judge: Judge, char: str) -> None:
    assert judge.command(f"ls {char}").rule == "control-characters"

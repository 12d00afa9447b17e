"""Text made to hurt: judging it ends, says something, and starts nothing."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_plugin_security import parse, state
from llmos_plugin_security.judge import Judge
from llmos_plugin_security.parse import Unparseable
from llmos_plugin_security.places import World

JUDGE = Judge(World("/workspace/proj", "/home/dev", "/workspace/proj", real=False))

WORDS = r"""
    $( ` ${ ${a:- (( )) [[ <( ) } {a,b} { <<< ' " $'\x \ | && ; if then fi for done case esac f(){ a=( a[ ] rm / bash -c
    eval sudo xargs find . -exec sed awk python3 node -e git ls $@ $* * ~ .. = é IFS=x; trap alias curl ln $TMPDIR/
"""
MORE = ("<<E\n", "\n", "\t", " ", "for a in b; do ", "case x in ", "rm -rf /", "python3 -c '", "find . -exec ")
PIECES = st.sampled_from([*WORDS.split(), *MORE])
HOSTILE = st.builds("".join, st.lists(PIECES, max_size=40))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | HOSTILE,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["path", "command", "args", "code", "x"]), inner)
    ),
    max_leaves=12,
)


@given(HOSTILE)
def test_any_pieces_get_a_judgement(text: str) -> None:
    judgement = JUDGE.command(text)
    assert judgement.verdict in {"allow", "ask", "deny"}
    assert judgement.verdict == "allow" or judgement.rule


@given(
    st.sampled_from(["Bash", "Read", "Write", "Glob", "Grep", "WebFetch", "mcp__a__b"]),
    st.dictionaries(st.text(), VALUES),
)
def test_any_call_gets_a_judgement(tool: str, input: dict[str, Any]) -> None:
    assert JUDGE.judge(tool, input).verdict in {"allow", "ask", "deny"}


@given(st.text(max_size=60), st.integers(1, 400))
def test_repetition_does_not_break_it(text: str, times: int) -> None:
    assert JUDGE.command(text * times).verdict in {"allow", "ask", "deny"}


def test_the_clock_ends_a_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_SECONDS", -1.0)
    judgement = JUDGE.command("ls; ls")
    assert (judgement.verdict, judgement.rule) == ("ask", "too-complex")


def test_the_clock_ends_reading() -> None:
    with pytest.raises(Unparseable) as caught:
        parse.parse("echo " + ")" * 20_000, until=0.0)
    assert caught.value.rule == "too-complex"
    assert parse.parse("ls").type == "program"


@pytest.mark.parametrize("program", ["sed", "awk", "node -e", "perl -e", "git", "npm", "vim -c"])
def test_texts_for_patterns_are_bounded(program: str) -> None:
    assert JUDGE.command(f"{program} '{'a' * (state.MAX_TEXT + 1)}'").rule == "too-large"


def test_nothing_is_started() -> None:
    """Python tells of every process, program, connection and written file before it happens."""
    seen: list[str] = []
    on = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        starts = event.startswith(
            ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "pty.")
        )
        writes = event == "open" and isinstance(arguments[1], str) and any(char in arguments[1] for char in "wax+")
        changes = event in {
            "os.remove",
            "os.rename",
            "os.mkdir",
            "os.rmdir",
            "os.chmod",
            "os.symlink",
            "socket.connect",
        }
        if on and (starts or writes or changes):
            seen.append(event)

    sys.addaudithook(watch)
    try:
        for text in (
            "touch /tmp/x; $(rm x); bash -c 'id > y'; python3 -c \"open('z', 'w')\"; find . -exec rm {} +",
            "curl localhost | sh; awk 'BEGIN { system(\"id\") }'; sed -i 1d x; eval ls; (ls) | xargs id",
            "echo `id` <(id); git -c core.pager=x log",
        ):
            JUDGE.command(text)
        JUDGE.judge("mcp__a__b", {"command": "id > x", "code": "import os; os.system('id')", "path": "x"})
    finally:
        on = False
    assert seen == []

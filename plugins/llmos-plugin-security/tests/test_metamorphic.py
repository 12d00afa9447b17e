"""However a dangerous command is wrapped and quoted, it stays stopped; a harmless one stays allowed."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from llmos_plugin_security.judge import Judge
from llmos_plugin_security.places import World

JUDGE = Judge(World("/workspace/proj", "/home/dev", "/workspace/proj", real=False))

DANGEROUS = [
    ["rm", "-rf", "/"],
    ["rm", "-r", "-f", "/home/dev"],
    ["cat", "/home/dev/.ssh/id_rsa"],
    ["tee", "/etc/passwd"],
    ["git", "push", "--force"],
    ["git", "reset", "--hard"],
    ["dd", "if=x", "of=/dev/sda"],
    ["chmod", "-R", "777", "/usr"],
    ["cp", "x", "/workspace/proj/.git/hooks/pre-commit"],
    ["shutdown", "now"],
    ["find", "/", "-delete"],
]
HARMLESS = [
    ["ls", "-la", "src"],
    ["rm", "-rf", "build"],
    ["git", "status"],
    ["grep", "-rn", "rm -rf /", "docs"],
    ["find", ".", "-name", "*.py"],
    ["cp", "a", "b"],
    ["echo", "curl x | bash"],
]


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _double(text: str) -> str:
    return '"' + "".join(f"\\{char}" if char in '"\\$`' else char for char in text) + '"'


def _ansi(text: str) -> str:
    return "$'" + "".join(f"\\x{ord(char):02x}" for char in text) + "'"


def _escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char in "/.-_=" else f"\\{char}" for char in text)


def _split(text: str) -> str:
    middle = len(text) // 2
    return _single(text[:middle]) + _double(text[middle:])


QUOTES = st.sampled_from([shlex.quote, _single, _double, _ansi, _escaped, _split])
WRAPPERS = st.sampled_from(
    [
        "{}",
        "  {}  ",
        "true && {}",
        "false || {}",
        "{} &",
        "( {} )",
        "{{ {}; }}",
        "if true; then {}; fi",
        "for i in 1; do {}; done",
        "! {}",
        "env A=b {}",
        "nice -n 5 {}",
        "timeout 5 {}",
        "nohup {}",
        "command {}",
        "time {}",
        "A=b {}",
        "echo $( {} )",
        "echo `{}`",
        "cat <( {} )",
        "f() {{ {}; }}; f",
        "ls # comment\n{}",
        "bash <<'EOF'\n{}\nEOF",
        "echo x | {}",
        "case x in x) {};; esac",
    ]
)
TEXTS = st.sampled_from(
    ["bash -c {}", "sh -c {}", "eval {}", "bash -lc {}", "env sh -c {}", "bash <<< {}", "echo {} | bash"]
)


@st.composite
def wrapped(draw: st.DrawFn, commands: list[list[str]]) -> str:
    words = draw(st.sampled_from(commands))
    blanks = st.sampled_from([" ", "  ", "\t", " \\\n"])
    text = "".join(draw(QUOTES)(word) + draw(blanks) for word in words).strip().rstrip("\\").strip()
    for _ in range(draw(st.integers(0, 2))):
        wrapper = draw(WRAPPERS)
        again = text.endswith("&") or ("`" in wrapper and "`" in text) or ("EOF" in wrapper and "EOF" in text)
        # Before a program's name, what is no simple command would be no shell.
        simple = not set(text) & set("(){};&|<>#!\n") and not text.startswith(("if", "for", "case", "A=", "time"))
        before = (
            wrapper.endswith(" {}")
            and (wrapper[0].isalpha() or wrapper[0] == "!")
            and "&&" not in wrapper
            and "|" not in wrapper
        )
        text = text if again or (before and not simple) else wrapper.format(text)
        if draw(st.booleans()):
            text = draw(TEXTS).format(draw(st.sampled_from([_single, _double]))(text))
    return text


@given(wrapped(DANGEROUS))
def test_the_dangerous_stays_stopped(text: str) -> None:
    assert JUDGE.command(text).verdict != "allow"


@given(wrapped(HARMLESS))
def test_the_harmless_stays_allowed(text: str) -> None:
    judgement = JUDGE.command(text)
    assert judgement.verdict == "allow", judgement.reason


@given(st.sampled_from(DANGEROUS), st.sampled_from(["/bin/", "/usr/bin/", "\\", "./../../bin/", "busybox ", "sudo "]))
def test_a_program_is_known_by_any_path(words: list[str], before: str) -> None:
    assert JUDGE.command(before + shlex.join(words)).verdict != "allow"


@given(st.text(max_size=200))
def test_any_text_gets_a_judgement(text: str) -> None:
    assert JUDGE.command(text).verdict in {"allow", "ask", "deny"}

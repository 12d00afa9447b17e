"""Paths become slots and come back; what only looks like the path, or like a slot, stays."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_core.errors import TraceError
from llmos_core.trace.binding import Abstraction, bind, check_values, values_for
from llmos_core.trace.record import Parameter, Step, StepResult, Trace

WORKDIR, WORKSPACE = "/a/ws/projects/p/output", "/a/ws"
VALUES = {"workdir": WORKDIR, "workspace": WORKSPACE}


def abstraction(*texts: str) -> Abstraction:
    return Abstraction.of({"workdir": Path(WORKDIR), "workspace": Path(WORKSPACE)}, texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/ws", "{{workspace}}"),
        ("/a/ws/", "{{workspace}}/"),
        ("/a/ws/projects/p/output", "{{workdir}}"),
        ("/a/ws/projects/p/output/x.py", "{{workdir}}/x.py"),
        ("/a/ws/projects/p/output2", "{{workspace}}/projects/p/output2"),
        ("/a/ws/projects/p", "{{workspace}}/projects/p"),
        ("-I/a/ws/include", "-I{{workspace}}/include"),
        ("cc -I/a/ws/include -isystem/a/ws", "cc -I{{workspace}}/include -isystem{{workspace}}"),
        ("--x=/a/ws", "--x={{workspace}}"),
        ("-Wl,-rpath,/a/ws", "-Wl,-rpath,{{workspace}}"),
        ("file:///a/ws/f", "file://{{workspace}}/f"),
        ('"/a/ws"', '"{{workspace}}"'),
        ("see /a/ws.", "see {{workspace}}."),
        (
            "see /a/ws... or /a/ws, /a/ws; (/a/ws)",
            "see {{workspace}}... or {{workspace}}, {{workspace}}; ({{workspace}})",
        ),
        ("PATH=/a/ws:/bin:/a/ws", "PATH={{workspace}}:/bin:{{workspace}}"),
        ("/a/ws\n/a/ws\t/a/ws", "{{workspace}}\n{{workspace}}\t{{workspace}}"),
        ("+/a/ws/f\n-/a/ws/f", "+{{workspace}}/f\n-{{workspace}}/f"),
        ("`/a/ws` **/a/ws** [x](/a/ws)", "`{{workspace}}` **{{workspace}}** [x]({{workspace}})"),
        ("curl -d @/a/ws/f >/a/ws/g 2>/a/ws/h", "curl -d @{{workspace}}/f >{{workspace}}/g 2>{{workspace}}/h"),
        ("#!/a/ws/bin/python", "#!{{workspace}}/bin/python"),
        (r"'x\n/a/ws/f\t/a/ws'", r"'x\n{{workspace}}/f\t{{workspace}}'"),
        ("\x1b[1;35m/a/ws/f\x1b[0m", "\x1b[1;35m{{workspace}}/f\x1b[0m"),
        ("保存到/a/ws/f", "保存到{{workspace}}/f"),
        ("host:/a/ws", "host:{{workspace}}"),
        ("{{/a/ws}}", "{{{{workspace}}}}"),
        ("{/a/ws}", "{{{workspace}}}"),
    ],
)
def test_a_path_becomes_a_slot(text: str, expected: str) -> None:
    slots = abstraction(text)
    assert slots.abstract(text) == expected
    assert bind(expected, VALUES) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "/a/ws2",
            "/a/ws-old",
            "/a/ws_1",
            "/a/ws.bak",
            "/a/ws..x",
            "/a/ws./x",
            "/a/ws~",
            "/a/ws%20x",
            "/a/ws+",
            "/a/ws日",
            r"/a/ws\ 2",
        ),
        *(
            "/data/a/ws",
            "data/a/ws",
            "~/a/ws",
            "./a/ws",
            "../a/ws",
            "$HOME}/a/ws",
            "$(pwd)/a/ws",
            "//a/ws",
            "/日本/a/ws",
        ),
        *("http://a/ws", "some-I/a/ws", "x+/a/ws", "a/ws", "/A/WS", "/a/w", "", "{{x}}/a/ws"),
    ],
)
def test_another_path_stays(text: str) -> None:
    slots = abstraction(text)
    assert slots.abstract(text) == text
    assert slots.parameters == ()


pieces = st.text(max_size=3) | st.sampled_from(
    [
        *(WORKDIR, WORKSPACE, "/a", "/a/ws2", "{{workdir}}", "{{workspace}}", "{{workdir_2}}", "{{", "}}", "{", "}"),
        *("workdir", "/", " ", "-I", ":", ".", "//", "\\n", "\n", '"', "x", "日", "\x1b[0m", "=", "\0"),
    ]
)
texts = st.lists(pieces, max_size=8).map("".join)
values = st.recursive(
    texts | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def texts_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts_in(part)]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


@given(values)
def test_binding_undoes_abstracting(value: Any) -> None:
    slots = abstraction(*texts_in(value))
    abstract = slots.abstract(value)
    assert bind(abstract, {slot.name: VALUES[slot.source] for slot in slots.parameters}) == value
    slots.abstract([WORKDIR, WORKSPACE])  # now both are used; the names of both occur nowhere else
    assert bind(abstract, {slot.name: VALUES[slot.source] for slot in slots.parameters}) == value


@given(values)
def test_without_paths_nothing_changes(value: Any) -> None:
    slots = Abstraction.of({"workdir": Path("/elsewhere/w"), "workspace": Path("/elsewhere")}, texts_in(value))
    assert slots.abstract(value) == value
    assert slots.parameters == ()


def test_keys_and_nested_values() -> None:
    value = {"/a/ws/f": ["/a/ws", {"k": "cd /a/ws/projects/p/output"}], "n": 1}
    slots = abstraction()
    assert slots.parameters == ()
    assert slots.abstract(value) == {"{{workspace}}/f": ["{{workspace}}", {"k": "cd {{workdir}}"}], "n": 1}
    assert slots.parameters == (
        Parameter(name="workdir", source="workdir"),
        Parameter(name="workspace", source="workspace"),
    )
    assert value["n"] == 1
    assert "/a/ws/f" in value


def test_only_the_slots_that_were_used_are_parameters() -> None:
    slots = abstraction()
    slots.abstract("/a/ws/data.csv")
    assert [parameter.name for parameter in slots.parameters] == ["workspace"]


def test_a_name_that_occurs_in_a_text_is_not_taken() -> None:
    texts = ["use {{workdir}}", "{{workdir_2}} {{workspace}}"]
    slots = Abstraction.of({"workdir": Path(WORKDIR), "workspace": Path(WORKSPACE)}, iter(texts))
    value = slots.abstract(f"{WORKDIR} {WORKSPACE}")
    assert value == "{{workdir_3}} {{workspace_2}}"
    assert [(slot.name, slot.source) for slot in slots.parameters] == [
        ("workdir_3", "workdir"),
        ("workspace_2", "workspace"),
    ]
    assert bind(["{{workdir}}", value], {"workdir_3": "/n", "workspace_2": "/m"}) == ["{{workdir}}", "/n /m"]


def test_a_text_that_was_not_announced_cannot_take_a_slot() -> None:
    with pytest.raises(TraceError):
        abstraction().abstract(["x {{workdir}}"])


def test_the_resolved_spelling_is_the_same_directory(tmp_path: Path) -> None:
    real = tmp_path.resolve() / "real"
    real.mkdir()
    link = tmp_path.resolve() / "link"
    link.symlink_to(real)
    slots = Abstraction.of({"workdir": link, "workspace": Path(WORKSPACE)}, ())
    assert slots.abstract(f"{link}/f {real}/f") == "{{workdir}}/f {{workdir}}/f"
    assert bind("{{workdir}}/f", {"workdir": str(link)}) == f"{link}/f"


def test_a_given_spelling_is_its_owners(tmp_path: Path) -> None:
    real = tmp_path.resolve() / "real"
    real.mkdir()
    link = tmp_path.resolve() / "link"
    link.symlink_to(real)
    slots = Abstraction.of({"workdir": link, "workspace": real}, ())
    assert slots.abstract([f"{real}/f", f"{link}/f"]) == ["{{workspace}}/f", "{{workdir}}/f"]


def test_one_directory_with_two_roles_is_one_slot() -> None:
    slots = Abstraction.of({"workdir": Path("/a/b"), "workspace": Path("/a/b")}, ())
    assert slots.abstract("/a/b/c") == "{{workdir}}/c"


@pytest.mark.parametrize("path", ["/", "relative/ws", "."])
def test_directories_that_no_text_names_unmistakably(path: str) -> None:
    with pytest.raises(TraceError):
        Abstraction.of({"workdir": Path(path), "workspace": Path(WORKSPACE)}, ())


def test_characters_of_a_path_are_no_pattern() -> None:
    slots = Abstraction.of({"workdir": Path("/a/w+(x).d"), "workspace": Path("/a")}, ())
    assert slots.abstract("/a/w+(x).d/f /a/ww(x)1d/f") == "{{workdir}}/f {{workspace}}/ww(x)1d/f"


def test_a_bound_value_is_not_bound_again() -> None:
    assert bind("{{a}} {{b}}", {"a": "{{b}}", "b": "{{a}}"}) == "{{b}} {{a}}"
    assert bind("{{a}}b}}", {"a": "{{", "b": "x"}) == "{{b}}"


def test_slots_without_a_value_stay() -> None:
    assert bind(["{{a}}", "{{ a }}", "{{A}}", "{{}}"], {"b": "x"}) == ["{{a}}", "{{ a }}", "{{A}}", "{{}}"]


def test_nothing_to_bind_is_no_work() -> None:
    value = {"a": ["{{b}}"]}
    assert bind(value, {}) is value


def test_keys_that_would_become_one_are_refused() -> None:
    with pytest.raises(TraceError):
        bind({"{{a}}": 1, "x": 2}, {"a": "x"})


def test_values_for_a_run(primes: Trace) -> None:
    parameters = (Parameter(name="workdir_2", source="workdir"), Parameter(name="workspace", source="workspace"))
    trace = primes.model_copy(update={"parameters": parameters})
    assert values_for(trace, "/w", "/s") == {"workdir_2": "/w", "workspace": "/s"}
    assert values_for(primes, "/w", "/s") == {"workdir": "/w"}


def command(text: str) -> Trace:
    step = Step(title="run", tool="Bash", effect="external", arguments={"command": text}, result=StepResult(output=""))
    return Trace(
        goal_signature="0" * 16,
        goal_text="g",
        success_rating=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        estimated_cost_usd=0,
        cost_billing="free",
        estimated_time_secs=0,
        mode="LEARNER",
        tools_used=("Bash",),
        parameters=(Parameter(name="workdir", source="workdir"),),
        steps=(step,),
    )


@pytest.mark.parametrize(
    ("text", "value", "safe"),
    [
        ("rm -r {{workdir}}/x", "/a/b", True),
        ("rm -r {{workdir}}/x", "/a/ü_1+2@3", True),
        ("rm -r {{workdir}}/x", "/a b", False),
        ("rm -r '{{workdir}}/x'", "/a b", True),
        ('rm -r "{{workdir}}"/x', "/a b", True),
        ("rm -r '{{workdir}}' {{workdir}}", "/a b", False),
        ("rm -r '{{workdir}}'", "/a'b", False),
        ('rm -r "{{workdir}}"', "/a$(b)", False),
        ("rm -r '{{workdir}}'", "/a;b", False),
        ("rm -r '{{workdir}}'", "/a\nb", False),
        ("echo # it's\nrm -r {{workdir}} # it's", "/a b", False),
        ("cat <<'E'\n'\nE\nrm {{workdir}}; cat <<'E'\n'\nE", "/a b", False),
        ("echo $'it\\'s' {{workdir}} '", "/a b", False),
        ("echo 'unbalanced {{workdir}}", "/a b", False),
        ("echo hello", "/a b", True),
    ],
)
def test_a_value_is_refused_where_a_shell_would_take_it_apart(text: str, value: str, safe: bool) -> None:
    if safe:
        check_values(command(text), {"workdir": value})
        return
    with pytest.raises(TraceError, match="cannot be replayed in this place"):
        check_values(command(text), {"workdir": value})


@given(st.text(alphabet="ab '\"\\{}x;", max_size=20), st.text(alphabet="ab ", min_size=1, max_size=5))
def test_what_is_accepted_is_read_by_a_shell_as_the_same_words(around: str, value: str) -> None:
    """Held against the real shell: the words of the command with the value are those with a plain one."""
    text = f"printf '%s\\n' {around}{{{{workdir}}}}{around}"
    try:
        check_values(command(text), {"workdir": value})
    except TraceError:
        return
    bound, plain = (_words(text.replace("{{workdir}}", given)) for given in (value, "PLAIN"))
    assert bound == plain.replace("PLAIN", value)


def _words(text: str) -> str:
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=False)
    return done.stdout

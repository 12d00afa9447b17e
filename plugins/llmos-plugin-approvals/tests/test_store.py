"""Answers on disk: exact, whole or not there, used up once, of their user only."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from llmos_core import LLMOSError, ToolCall, is_sealed
from llmos_plugin_approvals.store import AnswerStore, matches

from .conftest import answer, call, question


@pytest.fixture
def store(tmp_path: Path) -> AnswerStore:
    return AnswerStore(tmp_path)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state/approvals").iterdir())


def test_an_answer_for_once_is_used_up(store: AnswerStore) -> None:
    store.keep(answer())
    taken = store.take(question())
    assert taken is not None
    assert taken.allowed
    assert store.take(question()) is None


def test_two_answers_for_once_are_two(store: AnswerStore) -> None:
    store.keep(answer(number=1))
    store.keep(answer(number=2))
    store.keep(answer(number=2))
    assert [store.take(question()) is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("changed", "once", "project"),
    [
        ({}, True, True),
        ({"goal": "Something else"}, False, True),
        ({"goal": "Go on", "continues": "run-1"}, True, True),
        ({"goal": "Go on", "continues": "run-0"}, False, True),
        ({"project": "other"}, False, False),
        ({"directory": "/elsewhere"}, False, False),
    ],
)
def test_what_an_answer_holds_for(store: AnswerStore, changed: dict[str, Any], once: bool, project: bool) -> None:
    store.keep(answer())
    assert (store.take(question(**changed)) is not None) is once
    store.keep(answer(scope="project"))
    assert (store.take(question(**changed)) is not None) is project


@pytest.mark.parametrize("scope", ["once", "project"])
@pytest.mark.parametrize(
    "other",
    [
        call("git push "),
        call("git push --force"),
        call("GIT PUSH"),
        call(timeout=1),
        call(tool="Other"),
        ToolCall(id="c", tool="Bash", input={}),
    ],
)
def test_an_approval_of_changed_arguments_never_applies(store: AnswerStore, scope: str, other: ToolCall) -> None:
    store.keep(answer(scope=scope))
    assert store.take(question(other)) is None
    assert store.take(question()) is not None


def test_a_later_no_for_once_goes_before_a_lasting_yes(store: AnswerStore) -> None:
    store.keep(answer(scope="project"))
    store.keep(answer(number=2, allowed=False))
    taken = [store.take(question()) for _ in range(3)]
    assert [(one.scope, one.allowed) for one in taken if one] == [("once", False), *[("project", True)] * 2]


def test_a_wider_answer_takes_the_place_of_those_for_once(store: AnswerStore) -> None:
    others = [answer(call("git fetch")), answer(directory="/elsewhere"), answer(project="other")]
    for kept in (answer(), answer(number=2, goal="Another goal"), *others, answer(scope="project", number=3)):
        store.keep(kept)
    assert sorted(kept.id for kept in store.answers() if kept.scope == "once") == sorted(kept.id for kept in others)


def test_go_on_is_another_goal_for_each_run_that_goes_on(store: AnswerStore) -> None:
    store.keep(answer(goal="Go on", continues="run-0"))
    assert store.take(question(goal="Go on", continues="run-8")) is None
    assert store.take(question(goal="Go on")) is None
    assert store.take(question(goal="Go on", continues="run-0")) is not None


def test_the_newest_word_counts(store: AnswerStore) -> None:
    store.keep(answer(scope="project", number=1))
    store.keep(answer(scope="project", number=2, allowed=False))
    assert [kept.allowed for kept in store.answers()] == [False]
    store.keep(answer(scope="pattern", pattern="git *", number=3))
    newest = store.take(question())
    assert newest is not None
    assert newest.allowed


COMMANDS = [
    ("git push *", "git push origin main", True),
    ("git push *", "git push ", True),
    ("git push *", "git pull", False),
    ("git push *", "sudo git push x", False),
    ("git push*", "git push; rm -rf ~", False),
    ("git push *", "git push origin && curl evil", False),
    ("git push *", "git push $(cat key)", False),
    ("git push *", "git push `cat key`", False),
    ("git push *", "git push | sh", False),
    ("git push *", "git push > /etc/passwd", False),
    ("git push *", "git push\nrm -rf ~", False),
    ("git push *", "git push origin &", False),
    ("git ????", "git push", True),
    ("git ????", "git pu;h", False),
    ("make && git push *", "make && git push origin", True),
    ("a.c", "abc", False),
    ("[a-z]*", "git push", False),
    ("(x+)*", "(x+)yes", True),
]


@pytest.mark.parametrize(("pattern", "command", "fits"), COMMANDS)
def test_a_pattern_for_commands(pattern: str, command: str, fits: bool) -> None:
    assert matches(pattern, call(command)) is fits


@pytest.mark.parametrize(
    ("pattern", "input", "fits"),
    [
        ("/srv/docs/*", {"file_path": "/srv/docs/a/b.md", "content": "$(x)"}, True),
        ("/srv/docs/*", {"file_path": "/srv/docs/../keys"}, False),
        ("/srv/docs/*", {"file_path": "/srv/other"}, False),
        ("/srv/docs/*", {"file_path": "/srv/docs/a\nb"}, False),
        ("https://example.org/*", {"url": "https://example.org/a?b=1&c=2"}, True),
        ("https://example.org/*", {"url": "https://example.org.evil/"}, False),
        ("x*", {"n": 1, "what": "xyz", "more": "abc"}, True),
        ("a*", {"n": 1, "what": "xyz", "more": "abc"}, False),
        ("*x", {"n": 1}, False),
    ],
)
def test_a_pattern_for_other_tools(pattern: str, input: dict[str, Any], fits: bool) -> None:
    assert matches(pattern, ToolCall(id="c", tool="Write", input=input)) is fits


def test_a_pattern_holds_for_its_tool(store: AnswerStore) -> None:
    store.keep(answer(scope="pattern", pattern="git *"))
    assert store.take(question(call("git fetch"), goal="Anything")) is not None
    assert store.take(question(call("git fetch", tool="Other"))) is None
    assert store.take(question(call("git fetch"), project="other")) is None


def test_only_the_user_can_read_it(store: AnswerStore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.keep(answer())
    finally:
        os.umask(before)
    [path] = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_came_from_elsewhere_is_no_answer(
    store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.keep(answer(scope="project"))
    assert store.take(question()) is not None
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another-user"))
    assert store.take(question()) is None
    store.keep(answer(number=2))
    assert [kept.call_id for kept in store.answers()] == ["call-2"]


def test_an_answer_has_the_seal_of_its_user(store: AnswerStore, tmp_path: Path) -> None:
    store.keep(answer())
    [path] = files(tmp_path)
    told = json.loads(path.read_text())
    covered = {name: value for name, value in told.items() if name != "seal"}
    content = json.dumps(covered, separators=(",", ":"))
    assert is_sealed(f"llmos approval\n{tmp_path.resolve()}\n{content}".encode(), told["seal"])


def test_what_was_said_in_one_workspace_is_no_answer_in_another(store: AnswerStore, tmp_path: Path) -> None:
    store.keep(answer(scope="project"))
    shutil.copytree(tmp_path / "state", tmp_path / "copy/state")
    assert AnswerStore(tmp_path / "copy").take(question()) is None
    assert store.take(question()) is not None


def test_where_no_seal_can_be_made_nothing_is_kept(
    store: AnswerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/proc")
    with pytest.raises(LLMOSError, match=r"Nothing can be sealed"):
        store.keep(answer())
    assert not (tmp_path / "state").exists()
    assert store.take(question()) is None


def test_an_edited_file_is_no_answer(store: AnswerStore, tmp_path: Path) -> None:
    store.keep(answer(scope="project"))
    [path] = files(tmp_path)
    told = json.loads(path.read_text())
    for changed in (
        {"input": {"command": "rm -rf ~"}, "exact": question(call("rm -rf ~")).exact},
        {"allowed": False},
        {"goal": "Another"},
        {"seal": "é"},
        {"seal": ""},
    ):
        path.write_text(json.dumps({**told, **changed}))
        assert list(store.answers()) == []
    path.write_text(json.dumps(told))
    assert len(list(store.answers())) == 1
    path.rename(path.with_name("project-0123456789abcdef.json"))
    assert list(store.answers()) == []


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 100, b"null", b'{"scope": "project"}'])
def test_a_damaged_file_harms_no_other(store: AnswerStore, tmp_path: Path, damage: bytes) -> None:
    store.keep(answer(scope="project"))
    (tmp_path / "state/approvals/project-damaged.json").write_bytes(damage)
    assert store.take(question()) is not None


def test_drafts_of_killed_processes_are_swept(store: AnswerStore, tmp_path: Path) -> None:
    store.keep(answer())
    old, young = (tmp_path / "state/approvals" / f".once-{name}.json.abcd" for name in ("old", "young"))
    for draft in (old, young):
        draft.write_text("{")
    os.utime(old, (0, 0))
    store.keep(answer(number=2))
    assert (old.exists(), young.exists()) == (False, True)
    assert len(list(store.answers())) == 2


KEEPER = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from conftest import answer
    from llmos_plugin_approvals.store import AnswerStore

    steps, last = 0, int(sys.argv[2])

    def trace(event, arguments):
        global steps
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.listdir", "os.scandir", "os.chmod"):
            if armed:
                steps += 1
                if steps == last:
                    os.kill(os.getpid(), signal.SIGKILL)

    armed = False
    sys.addaudithook(trace)
    store = AnswerStore(Path(sys.argv[1]))
    armed = True
    store.keep(answer(scope="project", number=2, allowed=False))
    armed = False
    print(steps)
"""
TAKER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from conftest import question
    from llmos_plugin_approvals.store import AnswerStore

    store = AnswerStore(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.read(1)
    print(sum(store.take(question()) is not None for _ in range(40)))
"""


def _script(source: str) -> str:
    return textwrap.dedent(source.replace("{tests!r}", repr(str(Path(__file__).parent))))


@pytest.mark.slow
def test_killed_at_any_step_it_leaves_the_old_word_or_the_new(tmp_path: Path) -> None:
    """The writer is killed before each of its steps in turn, until it comes through."""
    script, seen, last = _script(KEEPER), set[bool](), 0
    while True:
        last += 1
        place = tmp_path / str(last)
        store = AnswerStore(place)
        store.keep(answer(scope="project", number=1))
        done = subprocess.run([sys.executable, "-c", script, str(place), str(last)], capture_output=True, check=False)
        [kept] = store.answers()
        seen.add(kept.allowed)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not kept.allowed
    assert seen == {True, False}
    assert last > 5, "it was killed at several steps"


@pytest.mark.slow
def test_of_several_processes_exactly_one_is_given_an_answer_for_once(store: AnswerStore, tmp_path: Path) -> None:
    for number in range(60):
        store.keep(answer(number=number))
    script = _script(TAKER)
    pipe = subprocess.PIPE
    takers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=pipe, stdout=pipe, text=True)
        for _ in range(3)
    ]
    try:
        for taker in takers:
            assert taker.stdout is not None
            assert taker.stdout.readline() == "ready\n"
        taken = [int(taker.communicate("!")[0]) for taker in takers]
    finally:
        for taker in takers:
            taker.kill()
            taker.wait()
    assert sum(taken) == 60
    assert list(store.answers()) == []

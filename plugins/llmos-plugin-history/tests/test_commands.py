"""``llmos diff`` and ``llmos undo`` as a user has them."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import Llmos
from .worlds import furnish, happened, link, move, overturn, seen, write


def work(root: Path) -> None:
    write(root / "a.txt", "one\n2\nthree")
    write(root / "new\nname.txt", "new\n")
    write(root / "data.bin", b"\0\1")
    move(root / "old.txt", root / "sub.txt")
    (root / "tool").chmod(0o755)
    link(root / "link", "\x1b[31mred")


@pytest.fixture
def run_id(space: Path, place: Path) -> str:
    write(place / "a.txt", "one\ntwo\nthree\n")
    write(place / "old.txt", "old\n")
    write(place / "tool", "tool")
    return happened(space, place, work, effect="external").id


def test_diff(llmos: Llmos, run_id: str) -> None:
    done = llmos("diff", "last")
    assert done.returncode == 0, done.stderr
    assert done.stdout == textwrap.dedent(
        """\
        changed  a.txt (14 bytes -> 11 bytes, +2 -2)
        --- a/a.txt
        +++ b/a.txt
        @@ -1,3 +1,3 @@
         one
        -two
        -three
        +2
        +three
        \\ No newline at end of file
        created  data.bin (2 bytes, binary)
        created  link (link to \\x1b[31mred)
        created  new\\nname.txt (4 bytes, +1 -0)
        --- /dev/null
        +++ b/new\\nname.txt
        @@ -0,0 +1 @@
        +new
        renamed  old.txt -> sub.txt
        mode     tool (mode 0644 -> 0755)
        """
    )
    assert done.stderr == "3 created, 1 changed, 1 renamed, 1 mode.\n"


def test_diff_of_some_paths(llmos: Llmos, run_id: str, place: Path) -> None:
    stat = llmos("diff", run_id, "--stat", "old.txt", f"{place}/tool").stdout
    assert stat == "renamed  old.txt -> sub.txt\nmode     tool (mode 0644 -> 0755)\n"
    nothing = llmos("diff", run_id[-4:], "elsewhere")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == f"Run {run_id} changed nothing there.\n"


def test_diff_as_json(llmos: Llmos, run_id: str) -> None:
    changes = {change["path"]: change for change in json.loads(llmos("diff", "last", "--json").stdout)}
    assert {path: change["change"] for path, change in changes.items()} == {
        "a.txt": "changed",
        "data.bin": "created",
        "link": "created",
        "new\nname.txt": "created",
        "sub.txt": "renamed",
        "tool": "mode",
    }
    assert changes["sub.txt"]["source"] == "old.txt"
    assert changes["tool"]["before"]["mode"] == "0644"
    assert changes["tool"]["after"]["mode"] == "0755"
    assert (changes["a.txt"]["added"], changes["a.txt"]["removed"]) == (2, 2)
    assert changes["a.txt"]["diff"].startswith("--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n")
    assert changes["data.bin"]["unshown"] == "binary"
    assert changes["link"]["after"]["target"] == "\x1b[31mred"
    assert "diff" not in json.loads(llmos("diff", "last", "--json", "--stat").stdout)[0]


def test_diff_of_large_texts(llmos: Llmos, space: Path, place: Path) -> None:
    def grow(root: Path) -> None:
        write(root / "large.txt", "x" * 300_000)
        write(root / "many.txt", "x\n" * 7_000)
        write(root / "long.txt", "".join(f"{n}\n" for n in range(3_000)))

    happened(space, place, grow)
    lines = llmos("diff", "last").stdout.splitlines()
    assert "created  large.txt (300,000 bytes, too large to show)" in lines
    assert "created  many.txt (14,000 bytes, too many lines to show)" in lines
    assert "created  long.txt (13,890 bytes, +3000 -0)" in lines
    assert "... and 2,003 more lines" in lines


@pytest.mark.parametrize(("variables", "bold"), [({}, b"\x1b[1m"), ({"NO_COLOR": "1"}, b"")])
def test_diff_on_a_terminal(
    environment: Mapping[str, str], tmp_path: Path, run_id: str, variables: Mapping[str, str], bold: bytes
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "llmos_core", "diff", "last"]
    subprocess.run(command, cwd=tmp_path, env={**environment, **variables}, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    assert os.read(ours, 30).startswith(bold + b"changed")
    os.close(ours)


def test_diff_of_a_content_that_is_gone(llmos: Llmos, space: Path, run_id: str) -> None:
    for path in (space / "state/blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    done = llmos("diff", "last")
    assert done.returncode == 0
    assert "changed  a.txt (14 bytes -> 11 bytes, its content is not kept any more)\n" in done.stdout


def test_diff_says_what_is_not_kept(llmos: Llmos, space: Path, run_id: str) -> None:
    (space / f"state/ends/{run_id}.json").unlink()
    done = llmos("diff", "last")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: The state that run {run_id} left is not kept.\n")
    assert llmos("undo", "last", "--yes").stderr == done.stderr


def test_a_run_that_changed_nothing(llmos: Llmos, space: Path, place: Path) -> None:
    run_id = happened(space, place, lambda root: None, effect="pure").id
    assert llmos("diff", "last").stderr == f"Run {run_id} changed nothing in its working directory.\n"
    assert llmos("diff", "last", "--json").stdout == "[]\n"
    undone = llmos("undo", "last", "--yes")
    assert (undone.returncode, undone.stdout) == (0, f"Run {run_id} changed nothing in its working directory.\n")
    assert json.loads(llmos("undo", "last", "--yes", "--json").stdout)["state"] == "unchanged"


def test_undo(llmos: Llmos, run_id: str, place: Path) -> None:
    end = seen(place)
    dry = llmos("undo", "last", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout == textwrap.dedent(
        f"""\
        In {place}:
          restore     a.txt  (11 bytes -> 14 bytes)
          remove      data.bin  (2 bytes)
          remove      link  (link to \\x1b[31mred)
          remove      new\\nname.txt  (4 bytes)
          bring back  old.txt  (4 bytes)
          remove      sub.txt  (4 bytes)
          restore     tool  (mode 0755 -> 0644)
        """
    )
    assert "Nothing was changed." in dry.stderr
    assert seen(place) == end
    unasked = llmos("undo", "last")
    assert unasked.returncode == 2
    assert "The undo was not confirmed; nothing was touched." in unasked.stderr
    assert seen(place) == end
    done = llmos("undo", "last", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"Run {run_id} is now undone. Take it back: llmos undo --back {run_id}" in done.stdout
    assert done.stderr == "1 call of the run could change things elsewhere: that is not undone.\n"
    assert sorted(path.name for path in place.iterdir()) == ["a.txt", "old.txt", "tool"]
    again = llmos("undo", "last", "--yes")
    assert again.returncode == 0
    assert again.stdout.startswith(f"Run {run_id} was undone already on ")
    assert "It was undone on " in llmos("diff", "last", "--stat").stderr
    back = llmos("undo", "last", "--back", "--yes")
    assert f"Run {run_id} is no longer undone. Undo it again with: llmos undo {run_id}" in back.stdout
    assert seen(place) == end
    assert llmos("undo", "last", "--back", "--yes").returncode == 2


def test_undo_as_json(llmos: Llmos, run_id: str, place: Path) -> None:
    dry = json.loads(llmos("undo", "last", "--dry-run", "--json").stdout)
    assert (dry["state"], dry["done"]) == ("not undone", False)
    done = json.loads(llmos("undo", "last", "--yes", "--json").stdout)
    assert (done["run_id"], done["directory"], done["state"], done["done"]) == (run_id, str(place), "undone", True)
    assert done["changes"] == dry["changes"]
    assert {"path": "tool", "action": "restore", "detail": "mode 0755 -> 0644"} in done["changes"]
    assert json.loads(llmos("undo", "last", "--yes", "--json").stdout)["state"] == "undone"
    back = json.loads(llmos("undo", "last", "--yes", "--json", "--back").stdout)
    assert (back["state"], back["done"]) == ("not undone", True)
    write(place / "a.txt", "mine")
    refused = llmos("undo", "last", "--yes", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["what"].endswith("nothing was touched: a.txt.")


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"y\n", 0)])
def test_it_asks_on_a_terminal(
    environment: Mapping[str, str], tmp_path: Path, run_id: str, place: Path, answer: bytes, code: int
) -> None:
    end = seen(place)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "llmos_core", "undo", "last"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        asked = b""
        while b"Undo the run? [y/N]: " not in asked:
            assert select.select([ours], [], [], 60)[0], asked
            asked += os.read(ours, 1000)
        assert process.stdout is not None
        os.write(ours, answer)
        told = process.stdout.read()
        assert process.wait(60) == code
    os.close(ours)
    assert b"  restore     a.txt" in told
    assert (seen(place) == end) is (code == 1)


def test_a_file_that_cannot_be_written(llmos: Llmos, space: Path, place: Path) -> None:
    """A limit of the system stands for a full disk: both fail a write in its midst."""
    write(place / "large", "x" * 100_000)
    write(place / "small", "x")

    def shrink(root: Path) -> None:
        write(root / "large", "y")
        write(root / "small", "y")

    happened(space, place, shrink)
    end = seen(place)
    limited = ("bash", "-c", 'ulimit -f 32; exec "$@"', "bash")
    done = llmos("undo", "last", "--yes", wrapped=limited)
    assert done.returncode == 1
    error = f"Error: The undo failed; the directory is as it was before: {place}\nFile too large.\n"
    assert done.stderr == error
    assert seen(place) == end
    assert llmos("undo", "last", "--yes").returncode == 0
    assert (place / "large").stat().st_size == 100_000


DYING = """
import os, shutil, signal, sys
left = int(sys.argv.pop(1))
def dying(function):
    def call(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call
for name in ("rename", "unlink", "rmdir", "mkdir", "symlink", "chmod", "fchmod"):
    setattr(os, name, dying(getattr(os, name)))
from llmos_core.cli import main
sys.argv[0] = "llmos"
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("left", [20, 30, 40, 48])
def test_a_process_that_is_killed(
    llmos: Llmos, environment: Mapping[str, str], tmp_path: Path, space: Path, place: Path, left: int
) -> None:
    furnish(place)
    start = seen(place)
    run_id = happened(space, place, overturn).id
    end = seen(place)
    command = [sys.executable, "-c", DYING, str(left), "undo", "last", "--yes"]
    died = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert seen(place) not in (start, end)
    assert "Its undo is not finished." in llmos("diff", "last").stderr
    done = llmos("undo", "last", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"The undo of run {run_id} was cut off." in done.stderr
    assert seen(place) == start
    subprocess.run([*command, "--back"], cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60)
    assert llmos("undo", "last", "--yes", "--back").returncode == 0
    assert seen(place) == end


def test_help_has_examples(llmos: Llmos) -> None:
    for command in ("diff", "undo", "feedback"):
        shown = llmos(command, "--help").stdout
        assert f"llmos {command} last" in shown
        assert "xits with" in shown
    listed = llmos("--help").stdout
    assert "Bring the working directory back to the state before RUN" in listed


def test_runs_are_completed(environment: Mapping[str, str], tmp_path: Path, run_id: str) -> None:
    for command in ("diff", "undo", "feedback"):
        words = {"_LLMOS_COMPLETE": "bash_complete", "COMP_WORDS": f"llmos {command} 2", "COMP_CWORD": "2"}
        program = Path(sys.executable).with_name("llmos")
        done = subprocess.run(
            [program], cwd=tmp_path, env={**environment, **words}, capture_output=True, text=True, check=False
        )
        assert done.stdout == f"plain,{run_id}\n", done.stderr

"""A signal, or a reader that goes away, stops a run in good order; a second signal ends everything at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmos_core.cli import stopping
from tests.cli_fixtures import Llmos
from tests.processes import left_over

pytestmark = pytest.mark.cli

GOAL = "Wait for ever"
LESSON = """
name: wait
goal: Wait for ever
about: Sleeps.
example: Wait for ever
turns:
  - tools:
      - Bash:
          command: "trap '' TERM; sleep 7654 & echo $! > sleeper; until [ -e HOME/go ]; do sleep 0.1; done; kill $!"
  - text: Awake.
"""


@contextmanager
def waiting(
    home: Path, environment: Mapping[str, str], *options: str, closed: str = "", **given: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A run that is in the middle of its step."""
    (home / "workspace/lessons").mkdir()
    (home / "workspace/lessons/wait.yaml").write_text(LESSON.replace("HOME", str(home)))
    llmos = [sys.executable, "-m", "llmos_core", "run", *options, GOAL]
    command = ["bash", "-c", f'exec "$@" {closed}', "-", *llmos]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **given}
    with subprocess.Popen(command, cwd=home, env=dict(environment), start_new_session=True, **pipes) as process:
        sleeper = home / "workspace/projects/default/output/sleeper"
        while not (sleeper.exists() and sleeper.read_text().strip()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        try:
            yield process
        except BaseException:
            (home / "go").touch()  # a test that failed leaves nothing running
            process.terminate()
            raise


def past(llmos: Llmos) -> dict[str, Any]:
    [run] = json.loads(llmos("runs", "list", "--json").stdout)
    assert isinstance(run, dict)
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_run_in_good_order(
    llmos: Llmos, home: Path, environment: Mapping[str, str], number: signal.Signals
) -> None:
    with waiting(home, environment, "--json") as process:
        process.send_signal(number)
        process.send_signal(number)  # so soon it is the same wish: programs that pass signals on send them twice
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    outcome = json.loads(out)
    assert outcome["error"]["what"] == "The run was interrupted."
    assert b"Stopping" in err
    assert f"llmos undo {outcome['run_id'][-6:]}".encode() in err
    assert b"Traceback" not in err
    assert left_over(home) == []
    run = past(llmos)
    assert run["run_id"] == outcome["run_id"]
    assert run["success"] is False
    assert run["error"]["exit_code"] == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_everything_at_once(
    llmos: Llmos, home: Path, environment: Mapping[str, str], number: signal.Signals
) -> None:
    with waiting(home, environment) as process:
        assert process.stderr is not None
        process.send_signal(number)
        while b"Stopping" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(2 * stopping._SAME_S)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"Ended at once." in err
    assert left_over(home) == []
    assert past(llmos)["success"] is None  # it had no time to write down its end


def test_a_closed_terminal_ends_nothing_at_once(llmos: Llmos, home: Path, environment: Mapping[str, str]) -> None:
    with waiting(home, environment) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(2 * stopping._SAME_S)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert past(llmos)["error"]["exit_code"] == 130


def test_under_nohup_a_run_goes_on(home: Path, environment: Mapping[str, str]) -> None:
    ignoring = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does; children inherit it
    try:
        with waiting(home, environment) as process:
            process.send_signal(signal.SIGHUP)
            (home / "go").touch()
            out, err = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGHUP, ignoring)
    assert process.returncode == 0, err
    assert out == b"Awake.\n"


def test_a_reader_of_events_who_leaves_stops_the_run(llmos: Llmos, home: Path, environment: Mapping[str, str]) -> None:
    with waiting(home, environment, "--jsonl", bufsize=0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        (home / "go").touch()
        err = process.stderr.read()
        assert process.wait(60) == 1
    assert b"Traceback" not in err
    assert left_over(home) == []
    assert past(llmos)["error"]["exit_code"] == 130


def test_nobody_on_stderr_does_not_stop_a_run(home: Path, environment: Mapping[str, str]) -> None:
    with waiting(home, environment, bufsize=0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        (home / "go").touch()
        assert process.stdout.read() == b"Awake.\n"
        assert process.wait(60) == 0


@pytest.mark.parametrize("numbers", [(2,), (0, 2), (0, 1, 2)])
def test_closed_standard_streams(home: Path, environment: Mapping[str, str], numbers: tuple[int, ...]) -> None:
    closed = " ".join(f"{number}>&-" for number in numbers)
    with waiting(home, environment, closed=closed) as process:
        for number in numbers:
            # No file of ours has taken the number, so that nobody writes into it by mistake.
            assert str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) == os.devnull
        (home / "go").touch()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (out, err) == (b"" if 1 in numbers else b"Awake.\n", b"")
    for journal in (home / "workspace/memories/sessions").rglob("*.jsonl"):
        assert all(json.loads(line)["run_id"] == journal.stem for line in journal.read_text().splitlines())


def test_without_proc_processes_are_listed_by_ps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stopping, "_PROC", tmp_path)
    with subprocess.Popen(["sleep", "600"]) as child:
        assert stopping._processes()[child.pid][0] == os.getpid()
        assert child.pid in stopping._below(os.getpid(), stopping._processes())
        child.kill()

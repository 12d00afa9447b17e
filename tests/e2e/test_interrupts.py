"""A signal stops a run in good order: its journal ends, its processes too, and the exit code says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli_fixtures import Llmos

pytestmark = pytest.mark.cli

LESSON = """
name: wait
goal: Wait for ever
about: Sleeps.
example: Wait for ever
turns:
  - tools:
      - Bash: {command: "sleep 7654 & echo $! > sleeper; sleep 7654"}
  - text: Awake.
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_in_good_order(
    llmos: Llmos, home: Path, environment: Mapping[str, str], number: signal.Signals
) -> None:
    (home / "workspace/lessons").mkdir()
    (home / "workspace/lessons/wait.yaml").write_text(LESSON)
    command = [sys.executable, "-m", "llmos_core", "run", "--json", "Wait for ever"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=home, env=dict(environment), start_new_session=True, **pipes) as process:
        sleeper = home / "workspace/projects/default/output/sleeper"
        while not (sleeper.exists() and sleeper.read_text().strip()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["error"]["what"] == "Interrupted."
    assert b"Traceback" not in err
    listed = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True).stdout
    alive = [line for line in listed.splitlines() if not line.startswith("Z")]
    assert not [line for line in alive if "sleep 7654" in line or str(home) in line]
    [run] = json.loads(llmos("runs", "list", "--json").stdout)
    assert run["success"] is False
    assert run["error"]["exit_code"] == 130

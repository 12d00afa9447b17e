"""Learned through the real SDK and CLI with a scripted model, then followed without either."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import Llmos

pytestmark = pytest.mark.cli

PRIMES = "Create a Python script that prints the primes below 50 and run it"
REPORT = "Summarise the figures in data/figures.csv in a Markdown report report.md"
COUNT = "Count the files in things by type and write the table to types.md"
GOLDEN = Path(__file__).parent / "golden"

AUDIT = """
import json, sys
seen = []
def hook(event, args):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "os.system"):
        seen.append([event, repr(args[:2])])
    elif event == "socket.__new__":
        seen.append([event, str(args[1])])
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        seen.append([event, repr(args[1:])])
sys.addaudithook(hook)
sys.argv = ["llmos", *sys.argv[1:]]
from llmos_core.cli.app import run_command
code = run_command()
print("AUDIT", json.dumps({"events": seen, "modules": sorted(sys.modules)}), file=sys.stderr)
sys.exit(code)
"""


def run(llmos: Llmos, goal: str, *arguments: str, code: int = 0, **given: Any) -> dict[str, Any]:
    done = llmos("run", "--json", *arguments, goal, **given)
    assert done.returncode == code, done.stderr.decode()
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def test_learned_then_followed_without_cli_network_or_sdk(
    llmos: Llmos, home: Path, environment: Mapping[str, str]
) -> None:
    first = llmos("run", PRIMES)
    assert first.returncode == 0, first.stderr.decode()
    lines = first.stderr.decode().splitlines()
    assert lines[0].startswith("Rehearsal: no API key is in use, so a scripted model answers")
    assert lines[1].startswith("LEARNER: ")
    assert "2 3 5 7 11 13 17 19 23 29 31 37 41 43 47" in first.stdout.decode()

    second = subprocess.run(
        [sys.executable, "-c", AUDIT, "run", PRIMES],
        cwd=home,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    assert second.stdout.encode() == first.stdout
    assert "FOLLOWER: " in second.stderr
    [line] = [line for line in second.stderr.splitlines() if line.startswith("AUDIT")]
    audit = json.loads(line.removeprefix("AUDIT"))
    started = [args for event, args in audit["events"] if not event.startswith("socket")]
    assert len(started) == 1, started
    assert "llmos_plugin_tools.sandbox.supervisor" in started[0], "the bash of its command is a child of that"
    assert "claude" not in started[0]
    sockets = [args for event, args in audit["events"] if event == "socket.__new__"]
    assert all("AF_UNIX" in args or args == "1" for args in sockets), sockets
    assert [
        event for event in audit["events"] if event[0] in ("socket.connect", "socket.bind", "socket.getaddrinfo")
    ] == []
    assert {"claude_agent_sdk", "mcp", "uvicorn", "httpx2"}.isdisjoint(audit["modules"])


def test_the_outcome_as_json(llmos: Llmos) -> None:
    learned = run(llmos, PRIMES)
    assert learned["mode"] == "LEARNER"
    assert learned["followable"] is True
    assert learned["cost_usd"] > 0
    assert learned["billing"] == "rehearsal"
    followed = run(llmos, PRIMES)
    assert followed["mode"] == "FOLLOWER"
    assert followed["cost_usd"] == 0
    assert followed["saved_usd"] == learned["cost_usd"]
    assert followed["output"] == learned["output"]
    wanted = "run_id goal mode success output cost_usd saved_usd duration_s steps trace_id trace_version project error"
    assert set(wanted.split()) <= set(followed)


def test_events_as_json_lines(llmos: Llmos) -> None:
    done = llmos("run", "--jsonl", PRIMES)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "user_input"
    assert kinds[-1] == "outcome"
    assert {"mode_chosen", "model_used", "llm_output", "tool_started", "tool_output", "trace_saved"} <= set(kinds)
    run_id = events[0]["run_id"]
    kept = [event for event in events if event["run_id"] == run_id and event["type"] != "llm_delta"]
    assert [event["seq"] for event in kept] == list(range(1, 1 + len(kept)))
    written = "".join(event["text"] for event in events if event["type"] == "llm_delta")
    assert written == "".join(event["text"] for event in kept if event["type"] == "llm_output")
    shown = llmos("runs", "show", run_id)
    assert shown.returncode == 0
    assert b"trace_saved" in shown.stdout
    listed = json.loads(llmos("runs", "list", "--json").stdout)
    assert [(entry["run_id"], entry["success"]) for entry in listed] == [(run_id, True)]


def test_the_trace_has_its_golden_form(llmos: Llmos, home: Path) -> None:
    learned = run(llmos, PRIMES)
    [path] = (home / "workspace/memories/traces").rglob("*.md")
    text = path.read_text("utf-8")
    assert str(home) not in text
    varying = {
        r"(created_at|  at): \S+": r"\1: TIME",
        r'    version: "\S+"': "    version: VERSION",
        r"estimated_cost_usd: \S+": "estimated_cost_usd: COST",
        r"estimated_time_secs: \S+": "estimated_time_secs: SECONDS",
    }
    for pattern, stands in varying.items():
        text = re.sub(pattern, stands, text)
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / "primes.md").write_text(text, "utf-8")
    assert text == (GOLDEN / "primes.md").read_text("utf-8")
    shown = llmos("traces", "show", learned["trace_id"][:6])
    assert shown.stdout.decode() == path.read_text("utf-8")
    assert llmos("traces", "verify", learned["trace_id"]).returncode == 0


@pytest.mark.parametrize(
    "other",
    [
        "Create a Python script that prints the primes below 51 and run it",
        "Create a Python script that prints the primes above 50 and run it",
        "Do not create a Python script that prints the primes below 50 and run it",
    ],
)
def test_another_goal_is_not_followed(llmos: Llmos, other: str) -> None:
    run(llmos, PRIMES)
    explained = json.loads(llmos("explain", "--json", other).stdout)
    assert explained["mode"] != "FOLLOWER"
    assert explained["candidates"] == []
    same = json.loads(llmos("explain", "--json", PRIMES).stdout)
    assert same["mode"] == "FOLLOWER"
    assert [candidate["refused"] for candidate in same["candidates"]] == [None]


def test_it_replays_after_the_workspace_was_moved(llmos: Llmos, home: Path, tmp_path: Path) -> None:
    (home / "workspace/things").mkdir()
    (home / "workspace/things/a.txt").write_text("a")
    learned = run(llmos, COUNT)
    assert learned["followable"], learned
    moved = tmp_path / "another place" / "renamed"
    moved.parent.mkdir()
    shutil.move(home / "workspace", moved)
    shutil.rmtree(moved / "projects")
    followed = run(llmos, COUNT, LLMOS_WORKSPACE=str(moved))
    assert followed["mode"] == "FOLLOWER"
    assert followed["success"]
    assert "| .txt | 1 |" in (moved / "projects/default/output/types.md").read_text()


def test_an_unknown_goal_gets_the_list_of_lessons(llmos: Llmos) -> None:
    done = llmos("run", "Bake a cake")
    assert done.returncode == 2
    assert done.stdout == b""
    text = done.stderr.decode()
    assert "No lesson matches this goal." in text
    for name in ("primes", "csv-report", "count-files"):
        assert name in text
    assert "export ANTHROPIC_API_KEY" in text


def test_the_csv_lesson_works_on_other_figures(llmos: Llmos, home: Path) -> None:
    figures = [("height", "weight"), *((str(n * 1.5), str(100 - n)) for n in range(1, 8))]
    (home / "workspace/data").mkdir()
    with (home / "workspace/data/figures.csv").open("w", newline="") as file:
        csv.writer(file).writerows(figures)
    outcome = run(llmos, REPORT)
    report = (home / "workspace/projects/default/output/report.md").read_text()
    mean = statistics.mean(n * 1.5 for n in range(1, 8))
    [row] = [line for line in report.splitlines() if line.startswith("| height")]
    numbers = [float(cell) for cell in re.findall(r"[-\d.]+", row)]
    assert any(abs(number - mean) < 0.01 for number in numbers), row
    assert {7.0, 1.5, 10.5} <= set(numbers), row
    assert outcome["followable"], outcome

    (home / "workspace/data/figures.csv").write_text("height,weight\n1,2\n")
    changed = run(llmos, REPORT, code=5)
    assert changed["mode"] == "FOLLOWER"
    assert "step 1" in changed["error"]["what"]
    assert (home / "workspace/projects/default/output/report.md").read_text() == report
    assert run(llmos, REPORT, "--mode", "learner")["followable"]
    assert run(llmos, REPORT)["mode"] == "FOLLOWER"


def test_the_count_lesson_works_on_other_files(llmos: Llmos, home: Path) -> None:
    things = home / "workspace/things"
    for name in ("a.py", "b.py", "sub/c.md", "noext", "sub/d.py"):
        (things / name).parent.mkdir(parents=True, exist_ok=True)
        (things / name).touch()
    assert run(llmos, COUNT)["followable"]
    table = (home / "workspace/projects/default/output/types.md").read_text()
    assert "| .py | 3 |" in table
    assert "| .md | 1 |" in table


def test_the_primes_lesson_works_with_another_limit(llmos: Llmos, home: Path) -> None:
    outcome = run(llmos, PRIMES.replace("50", "20"), "--project", "other")
    assert "2 3 5 7 11 13 17 19" in outcome["output"]
    assert (home / "workspace/projects/other/output/primes.py").is_file()


def test_what_prints_the_clock_is_not_followable(llmos: Llmos, home: Path) -> None:
    lesson = """
name: clock
goal: Tell the time
about: Prints the clock.
example: Tell the time
turns:
  - tools:
      - Bash: {command: date +%s}
  - text: "It is {{results.1}}."
"""
    (home / "workspace/lessons").mkdir()
    (home / "workspace/lessons/clock.yaml").write_text(lesson)
    done = llmos("run", "Tell the time")
    assert done.returncode == 0, done.stderr.decode()
    assert "kept as experience, not followable: on replay, step 1" in done.stderr.decode()
    again = llmos("run", "Tell the time")
    assert "LEARNER: " in again.stderr.decode()


def test_twice_at_once(home: Path, environment: Mapping[str, str]) -> None:
    """Two runs at the same time in projects of their own disturb each other in nothing."""
    commands = [
        [sys.executable, "-m", "llmos_core", "run", "--json", "--project", name, PRIMES] for name in ("one", "two")
    ]
    started = [
        subprocess.Popen(command, cwd=home, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in commands
    ]
    outcomes = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert [outcome["followable"] for outcome in outcomes] == [True, True]
    assert outcomes[0]["trace_id"] == outcomes[1]["trace_id"]

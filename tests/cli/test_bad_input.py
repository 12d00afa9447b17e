"""Bad input gets one clear error, loses nothing, and leaves the rest at work.

The wanted texts lie in ``golden/``; ``UPDATE_GOLDEN=1`` writes them anew, to be read before they are committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import Llmos, own_settings

GOLDEN = Path(__file__).parent / "golden"

CASES: dict[str, tuple[int, list[str | bytes], dict[str, Any]]] = {
    "empty-goal": (2, ["run", ""], {}),
    "blank-goal": (2, ["run", " \n "], {}),
    "no-goal": (2, ["run"], {}),
    "goal-of-1-mb": (2, ["run", "-"], {"stdin": b"x" * 1_000_000}),
    "goal-of-300-kb": (2, ["run", "-"], {"stdin": b"x" * 300_000}),
    "goal-no-utf-8": (2, ["run", b"print \xff\xfe"], {}),
    "goal-no-utf-8-on-stdin": (2, ["run", "-"], {"stdin": b"print \xff\xfe"}),
    "goal-with-control-character": (2, ["run", "print \x1b[31m"], {}),
    "unknown-mode": (2, ["run", "--mode", "psychic", "x"], {}),
    "project-outside": (2, ["run", "--project", "../x", "x"], {}),
    "directory-missing": (2, ["run", "--dir", "nowhere", "x"], {}),
    "directory-rules-the-agent": (2, ["run", "--dir", ".", "x"], {}),
    "workspace-not-writable": (2, ["run", "x"], {"LLMOS_WORKSPACE": "/proc/llmos"}),
    "unknown-provider": (2, ["run", "x"], {"LLMOS_PROVIDER": "oracle"}),
    "unknown-trace": (2, ["traces", "show", "abc"], {}),
    "unknown-run": (2, ["runs", "show", "2026-01-01-000000-abcdef"], {}),
    "no-run-id": (2, ["runs", "show", "../../etc/passwd"], {}),
}


def check(name: str, got: bytes, home: Path) -> None:
    """Compare with the golden text; paths of this machine and the summary with its times are left out."""
    text = re.sub(r"(?m)^Failed: .*\n", "", got.decode().replace(str(home), "HOME"))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("name", CASES)
def test_bad_input(llmos: Llmos, home: Path, name: str) -> None:
    code, arguments, given = CASES[name]
    done = llmos(*arguments, **given)
    assert done.returncode == code, done.stderr.decode()
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    check(name, done.stderr, home)


def test_a_workspace_that_is_a_file(llmos: Llmos, home: Path) -> None:
    (home / "file").write_text("precious")
    done = llmos("run", "x", LLMOS_WORKSPACE=str(home / "file"))
    assert done.returncode == 2
    check("workspace-is-a-file", done.stderr, home)
    assert (home / "file").read_text() == "precious"


BROKEN_SETTINGS = {
    "settings-no-toml": "model = ",
    "settings-unknown-key": "colour = 'red'",
    "settings-wrong-value": "[limits]\nguard_timeout_s = -1",
    "settings-of-plugin": "[plugins.tools]\nno_such_key = 1",
}


@pytest.mark.parametrize("name", BROKEN_SETTINGS)
def test_broken_settings(llmos: Llmos, home: Path, name: str) -> None:
    (home / "llmos.toml").write_text(BROKEN_SETTINGS[name])
    done = llmos("run", "x")
    assert done.returncode == 2
    check(name, done.stderr, home)
    assert llmos("--help").returncode == 0
    assert (home / "llmos.toml").read_text() == BROKEN_SETTINGS[name]


def test_settings_for_a_plugin_that_is_gone_are_told_and_stop_nothing(llmos: Llmos, home: Path) -> None:
    (home / "llmos.toml").write_text("[plugins.nobody]\nx = 1")
    done = llmos("explain", "x")
    assert done.returncode == 0
    told = llmos("run", "no such lesson").stderr
    assert told.count(b"There are settings for nobody, and no such plugin is installed: [plugins.nobody].") == 1


@pytest.fixture
def broken_plugin(home: Path) -> Mapping[str, str]:
    """A distribution whose plugin raises when it is imported; the variables that put it on the path."""
    site = home / "site"
    info = site / "llmos_plugin_bad-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "bad_plugin.py").write_text("raise RuntimeError('I am broken')")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llmos-plugin-bad\nVersion: 1.0\nSummary: Bad.\n")
    (info / "entry_points.txt").write_text("[llmos.plugins]\nbad = bad_plugin\n")
    return {"PYTHONPATH": str(site)}


def test_a_plugin_that_raises_at_import(llmos: Llmos, home: Path, broken_plugin: Mapping[str, str]) -> None:
    """Listing does not import it; whatever needs plugins names it once and works without it."""
    listed = llmos("plugins", "list", **broken_plugin)
    assert listed.returncode == 0
    assert b"llmos-plugin-bad" in listed.stdout
    assert b"I am broken" not in listed.stdout + listed.stderr

    checked = llmos("plugins", "list", "--check", **broken_plugin)
    assert checked.returncode == 0
    assert llmos("plugins", "check", "bad", **broken_plugin).returncode == 1
    check("plugin-broken-listed", b"".join(line for line in checked.stdout.splitlines(True) if b"bad" in line), home)

    ran = llmos("run", "no such lesson", **broken_plugin)
    told = [line for line in ran.stderr.splitlines(True) if b"I am broken" in line]
    check("plugin-broken-told", b"".join(told), home)
    assert len(told) == 1

    own_settings(home).write_text('disabled_plugins = ["bad"]')
    assert b"I am broken" not in llmos("run", "no such lesson", **broken_plugin).stderr


def test_json_of_an_error_is_json(llmos: Llmos) -> None:
    import json

    done = llmos("run", "--json", "")
    assert done.returncode == 2
    data = json.loads(done.stdout)
    assert data["success"] is False
    assert data["error"]["what"] == "The goal is empty."


TRACE = (GOLDEN.parent.parent / "trace" / "golden" / "primes.md").read_text("utf-8")
BROKEN_TRACES = {
    "trace-cut": TRACE[: len(TRACE) // 2],
    "trace-empty": "",
    "trace-of-unknown-format": TRACE.replace("format: 1", "format: 7"),
    "trace-edited": TRACE,
}


@pytest.mark.parametrize("name", BROKEN_TRACES)
def test_a_broken_trace(llmos: Llmos, home: Path, name: str) -> None:
    """It is listed and explained with its fault, it is not followed, and its file stays as it is."""
    from llmos_core import goal_signature, parse_trace

    goal = parse_trace(TRACE).goal_text
    path = home / "workspace/memories/traces" / goal_signature(goal) / "0123456789abcdef.md"
    path.parent.mkdir(parents=True)
    path.write_text(BROKEN_TRACES[name], "utf-8")
    followed = llmos("run", "--mode", "follower", goal)
    assert followed.returncode == 1
    check(name, followed.stderr, home)
    listed = llmos("traces", "list")
    assert listed.returncode == 0
    assert (b"edited" if name == "trace-edited" else b"broken") in listed.stdout
    assert path.read_text("utf-8") == BROKEN_TRACES[name]


@pytest.mark.parametrize(
    "arguments",
    [["run", "--json", "--timeout", "soon", "x"], ["runs", "show", "--json", "no-id"], ["run", "--jsonl", ""]],
)
def test_every_refusal_is_json_where_json_was_asked_for(llmos: Llmos, arguments: list[str | bytes]) -> None:
    import json

    done = llmos(*arguments)
    assert done.returncode == 2
    [line] = done.stdout.splitlines()
    assert json.loads(line)["success"] is False


def test_two_forms_at_once(llmos: Llmos) -> None:
    done = llmos("run", "--json", "--jsonl", "x")
    assert done.returncode == 2
    assert b"Choose one of --json and --jsonl." in done.stderr

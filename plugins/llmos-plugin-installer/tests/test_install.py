"""``llmos plugins install`` and ``uninstall`` in a virtual environment with pip."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from llmos_plugin_installer.record import locked
from tests.processes import left_over

from .installing import Installed, folder, fresh, wheel

pytestmark = pytest.mark.slow

HELLO = "llmos-plugin-hello"


@pytest.fixture
def llmos(tmp_path: Path) -> Installed:
    return fresh(tmp_path / "venv", tmp_path / "home", tmp_path / "wheels")


def recorded(llmos: Installed) -> dict[str, dict[str, object]]:
    return tomllib.loads(llmos.record.read_text("utf-8")).get("plugins", {}) if llmos.record.exists() else {}


def told(done: subprocess.CompletedProcess[str], code: int = 1) -> list[str]:
    """The lines of an error, which are all that is said beside what is happening."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if not line.startswith("Installing ")]


def test_a_name_with_a_range(llmos: Installed) -> None:
    for version in ("1.0", "1.1", "2.0"):
        wheel(llmos.wheels, HELLO, version, requires=["llmos-core>=0.1,<0.2"])
    done = llmos("install", f"{HELLO}<2")
    assert (done.returncode, done.stdout) == (
        0,
        "Installed: llmos-plugin-hello 1.1\nllmos-plugin-hello/hello 1.1 is ok\n",
    )
    assert done.stderr == "Installing llmos-plugin-hello<2 with pip ...\n"
    assert recorded(llmos) == {
        HELLO: {"requirement": f"{HELLO}<2", "source": "index", "version": "1.1", "editable": False}
    }
    assert llmos("install", HELLO).stdout.startswith("Everything was installed already.\n")
    upgraded = json.loads(llmos("install", "-U", "--json", HELLO).stdout)
    assert upgraded["installed"] == ["llmos-plugin-hello 2.0"]
    assert recorded(llmos)[HELLO]["version"] == "2.0"


def test_what_came_is_loaded_in_another_process_and_known_at_once(llmos: Installed) -> None:
    wheel(llmos.wheels, HELLO, source="raise RuntimeError('no luck')\n")
    done = llmos("install", "--json", HELLO)
    assert done.returncode == 1
    [row] = json.loads(done.stdout)["plugins"]
    assert (row["id"], row["state"], row["stage"]) == ("llmos-plugin-hello/hello", "broken", "import")
    assert "no luck" in row["error"]
    listed = {row["name"]: row for row in json.loads(llmos("list", "--json").stdout)}
    assert listed["hello"]["state"] == "broken"
    assert llmos("uninstall", "hello").stdout == "Removed llmos-plugin-hello.\n"
    assert (llmos.version(HELLO), recorded(llmos)) == ("", {})


def test_wheels_folders_and_what_they_bring_along(llmos: Installed, tmp_path: Path) -> None:
    wheel(llmos.wheels, HELLO)
    near = wheel(llmos.home / "workspace" / "wheels", "llmos-plugin-near", requires=[HELLO])
    far = folder(tmp_path / "far", "llmos-plugin-far")
    done = llmos("install", f"./{near.relative_to(llmos.home)}", far, "--json")
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in json.loads(done.stdout)["plugins"]} == {"hello", "near", "far"}
    assert llmos.version(HELLO) == "1.0"
    assert recorded(llmos) == {
        "llmos-plugin-far": {"requirement": str(far), "source": str(far), "version": "1.0", "editable": False},
        "llmos-plugin-near": {
            "requirement": "./workspace/wheels/llmos_plugin_near-1.0-py3-none-any.whl",
            "source": "./wheels/llmos_plugin_near-1.0-py3-none-any.whl",
            "version": "1.0",
            "editable": False,
        },
    }
    assert "[plugins.llmos-plugin-far]" in llmos.record.read_text()


def test_an_editable_folder(llmos: Installed, tmp_path: Path) -> None:
    place = folder(tmp_path, "llmos-plugin-draft")
    assert llmos("install", "-e", place).returncode == 0
    before = recorded(llmos)
    assert before["llmos-plugin-draft"]["editable"] is True
    assert llmos("install", "llmos-plugin-draft").returncode == 0
    assert recorded(llmos) == before, "it still comes from there"
    (place / "llmos_plugin_draft.py").write_text("raise RuntimeError('changed')\n")
    assert "changed" in llmos("check", "draft").stdout


def test_a_dry_run_changes_nothing(llmos: Installed) -> None:
    wheel(llmos.wheels, HELLO)
    done = llmos("install", "--dry-run", HELLO)
    assert (done.returncode, done.stdout) == (0, "Would install: llmos-plugin-hello 1.0\n")
    assert (llmos.version(HELLO), recorded(llmos)) == ("", {})
    assert llmos("install", "--no-record", HELLO).returncode == 0
    assert (llmos.version(HELLO), recorded(llmos)) == ("1.0", {})


@pytest.mark.parametrize("needs", ["llmos-core>=9", "llmos-core<0.1"])
def test_the_core_is_never_changed(llmos: Installed, needs: str) -> None:
    before = llmos.version("llmos-core")
    for version in ("0.0.9", "9.0"):
        wheel(llmos.wheels, "llmos-core", version, points="")
    wheel(llmos.wheels, "llmos-plugin-other", requires=[needs])
    what, why, fix = told(llmos("install", "-U", "llmos-plugin-other"))
    assert what == "Error: llmos-plugin-other could not be installed: it is not for the llmos-core that is installed."
    assert needs in why
    assert "upgrade llmos-core first" in fix
    assert llmos.version("llmos-core") == before
    for own in ("llmos-core", "LLMOS_Core==9.0", llmos.wheels / "llmos_core-9.0-py3-none-any.whl"):
        assert told(llmos("install", own), 2)[0] == "Error: llmos-core is no plugin."
    assert told(llmos("uninstall", "llmos-core"), 2)[0] == "Error: llmos-core is no plugin."
    assert (llmos.version("llmos-core"), recorded(llmos)) == (before, {})


def test_no_network_and_no_such_name_are_told_apart(llmos: Installed) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        del llmos.environment["PIP_NO_INDEX"]
        what, why, fix = told(llmos("install", HELLO, PIP_INDEX_URL=index, PIP_RETRIES="0"))
    assert what == "Error: llmos-plugin-hello could not be installed: the package index cannot be reached."
    assert index in why
    assert "network" in fix
    llmos.environment["PIP_NO_INDEX"] = "1"
    what, why, fix = told(llmos("install", HELLO))
    assert what == "Error: llmos-plugin-hello could not be installed: there is no distribution of that name."
    assert HELLO in why
    wheel(llmos.wheels, HELLO)
    what, why, fix = told(llmos("install", f"{HELLO}>=7"))
    assert what == "Error: llmos-plugin-hello could not be installed: no version of it fits."
    assert "from versions: 1.0" in why
    assert recorded(llmos) == {}


def test_a_build_that_fails(llmos: Installed, tmp_path: Path) -> None:
    place = folder(tmp_path, "llmos-plugin-bad", backend="raise SystemExit('the backend is ill')\n")
    what, why, fix = told(llmos("install", place))
    assert what == "Error: llmos-plugin-bad could not be installed: building it failed."
    assert why == "the backend is ill"
    assert "-v" in fix
    assert "exit code: 1" in llmos("install", "-v", place).stderr


def test_a_distribution_without_a_plugin(llmos: Installed) -> None:
    wheel(llmos.wheels, "plain-thing", points="")
    what, _, fix = told(llmos("install", "plain-thing"), 2)
    assert what == "Error: Is plain-thing the name of a plugin, or of a distribution?"
    assert "llmos-plugin-plain-thing" in fix
    [line] = told(llmos("install", "--any-name", "plain-thing"))
    assert line == "plain-thing brings no plugin. To remove it: llmos plugins uninstall plain-thing"
    assert llmos("uninstall", "plain-thing").returncode == 0
    assert llmos.version("plain-thing") == ""


def test_uninstalling_what_is_not_there(llmos: Installed) -> None:
    wheel(llmos.wheels, HELLO)
    assert told(llmos("uninstall", "nothing"), 2)[0] == "Error: No plugin nothing is installed."
    _, why, _ = told(llmos("uninstall", "pydantic"), 2)
    assert why == "A distribution of that name is installed, but it brings no plugin."
    assert llmos("install", HELLO).returncode == 0
    told(llmos("uninstall", "hello", "nothing"), 2)
    assert llmos.version(HELLO) == "1.0"
    subprocess.run([llmos.python, "-m", "pip", "uninstall", "-y", "-q", HELLO], env=llmos.environment, check=True)
    done = llmos("uninstall", HELLO, "--json")
    assert json.loads(done.stdout) == {"removed": [], "removed_from_record": [HELLO]}
    assert recorded(llmos) == {}


def test_what_hangs_or_is_disabled_can_be_removed(llmos: Installed) -> None:
    wheel(llmos.wheels, HELLO, source="import time\ntime.sleep(1000)\n")
    wheel(llmos.wheels, "llmos-plugin-off", source="raise SystemExit(3)\n")
    install = [llmos.python, "-m", "pip", "install", "-q", HELLO, "llmos-plugin-off"]
    subprocess.run(install, env=llmos.environment, check=True)
    assert llmos("disable", "off").returncode == 0
    done = llmos("uninstall", "hello", "off", "--yes")
    assert done.returncode == 0, done.stderr
    assert (llmos.version(HELLO), llmos.version("llmos-plugin-off")) == ("", "")


def test_a_damaged_record_is_told_before_anything_is_done(llmos: Installed) -> None:
    wheel(llmos.wheels, HELLO)
    llmos.record.write_text("[plugins\n")
    for arguments in (("install", HELLO), ("uninstall", HELLO), ("sync", "--yes")):
        what, why, _ = told(llmos(*arguments), 2)
        assert what == f"Error: The record {llmos.record} cannot be read."
        assert why.startswith("TOMLDecodeError: ")
    assert (llmos.version(HELLO), llmos.record.read_text()) == ("", "[plugins\n")


def test_one_waits_for_the_other(llmos: Installed) -> None:
    names = [f"llmos-plugin-p{number}" for number in range(3)]
    for name in names:
        wheel(llmos.wheels, name)
    with locked(llmos.python.parent.parent):
        running = [
            subprocess.Popen(
                llmos.command("install", name), cwd=llmos.home, env=llmos.environment, stdout=-1, stderr=-1
            )
            for name in names
        ]
        for process in running:
            assert process.stderr is not None
            assert process.stderr.readline().startswith(b"Installing ")
            assert process.stderr.readline() == b"Waiting for another installation to end ...\n"
        assert not any(llmos.version(name) for name in names)
    for process in running:
        _, err = process.communicate(timeout=170)
        assert process.returncode == 0, err
    assert sorted(recorded(llmos)) == names


def test_archives_are_recorded_under_the_name_of_what_they_hold(llmos: Installed, tmp_path: Path) -> None:
    archive = tmp_path / "main.zip"
    for name in ("llmos-plugin-one", "llmos-plugin-two"):
        folder(tmp_path / name / "top", name)
        archive.unlink(missing_ok=True)
        shutil.make_archive(str(archive.with_suffix("")), "zip", tmp_path / name / "top")
        done = llmos("install", archive)
        assert done.returncode == 0, done.stderr
        assert recorded(llmos)[name] == {
            "requirement": str(archive),
            "source": str(archive),
            "version": "1.0",
            "editable": False,
        }
    assert sorted(recorded(llmos)) == ["llmos-plugin-one", "llmos-plugin-two"]
    assert llmos("sync", "--dry-run").returncode == 0


def test_what_a_killed_command_left_running_holds_the_others_up(llmos: Installed, tmp_path: Path) -> None:
    mark = tmp_path / "building"
    place = folder(tmp_path, "llmos-plugin-slow")
    group = f"pathlib.Path({str(mark)!r}).write_text(f'{{os.getpgid(0)}}\\n')"
    (place / "backend.py").write_text(f"import os, pathlib, time\n{group}\ntime.sleep(100)\n")
    process = subprocess.Popen(llmos.command("install", place), cwd=llmos.home, env=llmos.environment, stdout=-3)
    while not (mark.exists() and mark.read_text().endswith("\n")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    installer = int(mark.read_text())
    handle = os.open(llmos.python.parent.parent, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.killpg(installer, signal.SIGKILL)
        fcntl.flock(handle, fcntl.LOCK_EX)  # as soon as it ended
        os.close(handle)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_installation_leaves_nothing_running(
    llmos: Installed, tmp_path: Path, number: signal.Signals
) -> None:
    mark = tmp_path / "building"
    stubborn = "import pathlib, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    waits = f"{stubborn}pathlib.Path({str(mark)!r}).touch()\ntime.sleep(1000)\n"
    place = folder(tmp_path, "llmos-plugin-slow")
    (place / "backend.py").write_text(waits)
    process = subprocess.Popen(
        llmos.command("install", place), cwd=llmos.home, env=llmos.environment, stdout=-1, stderr=-1, text=True
    )
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (130, "Error: Interrupted.")
    assert left_over(llmos.home) == []
    assert (llmos.version("llmos-plugin-slow"), recorded(llmos)) == ("", {})

"""What ``llmos doctor`` says of the sandbox, and that it leaves nothing."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from llmos_core import Check
from llmos_plugin_tools import sandbox
from llmos_plugin_tools.sandbox import check as checks
from llmos_plugin_tools.sandbox import landlock, probe, runner
from llmos_plugin_tools.sandbox.check import check
from llmos_plugin_tools.settings import SandboxSettings

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing of a trial is left: no file, no process, no thread."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(probe, "_chosen", {})
    yield
    assert list(place.iterdir()) == []
    if sys.platform == "linux":
        assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(place).encode() in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended


def in_a_thread(settings: SandboxSettings) -> Check:
    """As ``doctor`` asks: in a thread of its own."""
    found: list[Check] = []
    thread = threading.Thread(target=lambda: found.append(check(settings)), daemon=True)
    thread.start()
    thread.join(30)
    return found[0]


@on_linux
def test_the_sandbox_that_works_is_named() -> None:
    found = in_a_thread(SandboxSettings())
    assert found.name == "sandbox"
    if found.state != "ok":
        pytest.skip(found.detail)
    assert found.detail.split(";")[0] in ("landlock", "bubblewrap")
    assert "; network on" in found.detail
    assert "; network off" in in_a_thread(SandboxSettings(network=False)).detail


@on_linux
def test_what_it_does_not_keep_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(probe._chosen, "landlock", probe.Choice("landlock", gaps=("a gap",)))
    assert in_a_thread(SandboxSettings(kind="landlock")) == Check.ok("sandbox", "landlock; network on; a gap")


@on_linux
def test_where_none_works_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    found = in_a_thread(SandboxSettings())
    assert found.state == "warning"
    assert "bubblewrap: bwrap is not installed; landlock: this kernel has none" in found.detail
    assert "install bubblewrap" in found.fix
    assert 'kind = "none"' in found.fix


@on_linux
def test_a_bubblewrap_without_user_namespaces_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = in_a_thread(SandboxSettings(kind="bubblewrap"))
    assert (found.state, "bwrap: No permissions to create a new namespace" in found.detail) == ("warning", True)
    assert "user namespaces" in found.fix


@on_linux
def test_off_by_the_settings_is_a_warning() -> None:
    found = in_a_thread(SandboxSettings(kind="none"))
    assert (found.state, found.detail) == ("warning", "off, by the settings: a command can do what you can do")
    assert 'Take kind = "none" out' in found.fix


def test_on_other_systems_it_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "IS_LINUX", False)
    found = in_a_thread(SandboxSettings())
    assert (found.state, "they need Linux" in found.detail) == ("warning", True)


@on_linux
def test_one_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PATIENCE_S", 0.3)
    monkeypatch.setattr(probe, "_TRIAL", "sleep 1000")
    found = in_a_thread(SandboxSettings())
    assert (found.state, found.detail) == ("warning", "it did not answer within 0.3 s")


@on_linux
def test_one_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "_own_directory", refuse)
    found = in_a_thread(SandboxSettings())
    assert (found.state, "No space left on device" in found.detail) == ("warning", True)


@on_linux
def test_a_supervisor_that_cannot_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_START", "raise SystemExit(1)")
    assert in_a_thread(SandboxSettings()).state == "warning"


@on_linux
def test_doctor_shows_it(llmos_cli) -> None:
    found = {check["name"]: check for check in json.loads(llmos_cli("doctor", "--json").stdout)}
    if shutil.which("bwrap") is None and landlock.abi() < 6:
        assert found["sandbox"]["state"] == "warning"
    else:
        assert found["sandbox"]["state"] == "ok", found["sandbox"]
        assert "network on" in found["sandbox"]["detail"]

"""The command in a process of its own, whose user has nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from llmos_testkit import LlmosCli


def test_it_runs_the_installed_command(llmos_cli: LlmosCli) -> None:
    done = llmos_cli("--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    refused = llmos_cli("conquer")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "conquer" in refused.stderr


def test_bytes_that_are_no_text(llmos_cli: LlmosCli) -> None:
    done = llmos_cli.raw("explain", b"\xff")
    assert done.returncode == 2
    assert isinstance(done.stderr, bytes)


def test_its_user_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llmos_cli: LlmosCli) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "llmos").mkdir(parents=True)
    (theirs / "llmos/config.toml").write_text("this is no TOML")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(theirs))
    for name in ("LLMOS_PROVIDER", "ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK"):
        monkeypatch.setenv(name, "theirs")
    assert not [name for name, value in llmos_cli.environment.items() if value in ("theirs", str(theirs))]
    assert llmos_cli.environment["PATH"] == os.environ["PATH"]
    done = llmos_cli("plugins", "list")
    assert done.returncode == 0, done.stderr
    assert llmos_cli("plugins", "list", XDG_CONFIG_HOME=str(theirs)).returncode == 2, "variables of the test count"


def test_it_works_in_its_home(llmos_cli: LlmosCli) -> None:
    (llmos_cli.home / "llmos.toml").write_text("nonsense = 1\n")
    done = llmos_cli("runs", "list")
    assert done.returncode == 2
    assert "nonsense" in done.stderr
    elsewhere = llmos_cli.home.parent / "elsewhere"
    elsewhere.mkdir()
    assert llmos_cli("runs", "list", cwd=elsewhere).returncode == 0


def test_a_command_that_does_not_end(llmos_cli: LlmosCli) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        llmos_cli("--version", timeout_s=0.001)

"""The command line as its users have it: a process of its own, in an empty directory, with no key."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from llmos_testkit import LlmosCli

Llmos = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def home(llmos_cli: LlmosCli) -> Path:
    """An empty directory to run in; its ``workspace/`` is the workspace."""
    return llmos_cli.home


def own_settings(home: Path) -> Path:
    """The settings file of the user of a home, in a folder that is there."""
    file = home / ".config/llmos/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@pytest.fixture
def environment(llmos_cli: LlmosCli) -> Mapping[str, str]:
    return llmos_cli.environment


@pytest.fixture
def llmos(llmos_cli: LlmosCli) -> Llmos:
    """Runs ``llmos`` with arguments (text or bytes) and waits for it."""
    return llmos_cli.raw

"""A judge of an imagined machine, as the examples of the rules assume it."""

from __future__ import annotations

import pytest

from llmos_plugin_security.judge import Judge
from llmos_plugin_security.places import World


@pytest.fixture(scope="session")
def judge() -> Judge:
    return Judge(World("/workspace/proj", "/home/dev", "/workspace/proj", real=False))

"""What all tests of the core share."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

settings.register_profile("check", max_examples=10)

# Under nohup it is ignored, and what we start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"

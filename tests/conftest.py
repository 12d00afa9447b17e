"""What all tests of the core share."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

settings.register_profile("check", max_examples=10)

# Under nohup, or in the background of a script, they are ignored, and what we start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"

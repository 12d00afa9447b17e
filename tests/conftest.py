"""What all tests of the core share."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("check", max_examples=10)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"

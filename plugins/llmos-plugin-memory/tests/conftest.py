"""What the tests of this plugin share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _home(llmos_home: Path) -> None:
    """The user's own directory is that of the test: the key that seals traces lies there."""

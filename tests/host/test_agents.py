"""Agents written as Markdown: what cannot be read is a clear error, and ends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos_core import PluginError
from llmos_core.host.agents import read_agent


@pytest.mark.parametrize(
    "head",
    ["since: 2024-02-30", "since: !!int ''", "since: !!timestamp x", "description: " + "[" * 100_000, "colour: [red"],
)
def test_front_matter_that_yaml_cannot_take(tmp_path: Path, head: str) -> None:
    path = tmp_path / "clerk.md"
    path.write_text(f"---\n{head}\n---\nYou file things.")
    with pytest.raises(PluginError, match=r"clerk\.md cannot be read"):
        read_agent(path)

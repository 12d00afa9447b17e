"""Scratch directories leave nothing behind, of killed processes neither."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmos_core.kernel.scratch import scratch_directory

LONG_AGO = 1_000_000_000


async def test_it_is_removed_with_what_cannot_be_written(tmp_path: Path) -> None:
    async def broken_off() -> None:
        async with scratch_directory(tmp_path, "run-1") as directory:
            (directory / "closed").mkdir()
            (directory / "closed/file").write_text("x")
            (directory / "closed").chmod(0)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await broken_off()
    assert list(tmp_path.iterdir()) == []


async def test_what_a_killed_process_left_is_swept_and_what_is_in_use_stays(tmp_path: Path) -> None:
    stale, young = tmp_path / "scratch-stale", tmp_path / "scratch-young"
    stale.mkdir()
    (stale / "file").write_text("x")
    young.mkdir()
    os.utime(stale, (LONG_AGO, LONG_AGO))
    async with scratch_directory(tmp_path, "one") as one:
        os.utime(one, (LONG_AGO, LONG_AGO))
        async with scratch_directory(tmp_path, "two") as two:
            assert sorted(tmp_path.iterdir()) == sorted([one, two, young])

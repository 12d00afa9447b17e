"""The Markdown store: versions that never change, counts that add up."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmos_core import Step, StepResult, Trace, TraceError, Verification
from llmos_plugin_memory.outcomes import OutcomeLog
from llmos_plugin_memory.traces import MarkdownTraceStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def trace(**changes: Any) -> Trace:
    fields: dict[str, Any] = {
        "goal_signature": "0123456789abcdef",
        "goal_text": "Say hello",
        "success_rating": 1.0,
        "created_at": NOW,
        "estimated_cost_usd": 0.1,
        "cost_billing": "real",
        "estimated_time_secs": 1.0,
        "mode": "LEARNER",
        "tools_used": ("Echo",),
        "steps": (Step(title="Echo", tool="Echo", effect="pure", result=StepResult(output="hello")),),
    }
    return Trace(**(fields | changes))


async def test_versions_come_newest_first_and_each_is_a_file(tmp_path: Path) -> None:
    store = MarkdownTraceStore(tmp_path)
    old = await store.save(trace())
    new = await store.save(trace(created_at=NOW + timedelta(days=1)))
    again = await store.save(trace())
    assert again == old
    assert [stored.version for stored in await store.versions(old.trace_id)] == [new.version, old.version]
    assert sorted(path.stem for path in tmp_path.rglob("*.md")) == sorted([old.version, new.version])
    assert await store.versions("f" * 16) == []


async def test_what_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    store = MarkdownTraceStore(tmp_path)
    step = trace().steps[0].model_copy(update={"arguments": {"x": float("nan")}})
    with pytest.raises(TraceError):
        await store.save(trace(steps=(step,)))
    assert list(tmp_path.rglob("*.md")) == []


async def test_a_draft_left_by_a_crash_is_no_version(tmp_path: Path) -> None:
    store = MarkdownTraceStore(tmp_path)
    stored = await store.save(trace())
    (Path(stored.location).parent / f".{stored.version}.md.abcd").write_text("half")
    assert len(await store.versions(stored.trace_id)) == 1


async def test_a_changed_file_is_readable_but_not_intact(tmp_path: Path) -> None:
    store = MarkdownTraceStore(tmp_path)
    stored = await store.save(trace())
    path = Path(stored.location)
    path.write_text(path.read_text("utf-8").replace("success_rating: 1.0", "success_rating: 0.5"), "utf-8")
    [found] = await store.versions(stored.trace_id)
    assert found.trace
    assert not found.intact
    assert found.refusal == "the file was changed after it was verified"


async def test_a_file_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MarkdownTraceStore(tmp_path)
    stored = await store.save(trace())
    monkeypatch.setattr("llmos_plugin_memory.traces._MAX_BYTES", 10)
    [found] = await store.versions(stored.trace_id)
    assert found.trace is None
    assert "too large" in (found.fault or "")


RECORD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from llmos_plugin_memory.outcomes import OutcomeLog
log = OutcomeLog(Path(sys.argv[1]))
for number in range(25):
    log.record("v", f"{sys.argv[2]}-{number}", datetime.now(UTC), number % 5 > 0)
    log.record("v", f"{sys.argv[2]}-{number}", datetime.now(UTC), number % 5 > 0)
"""


def test_counts_add_up_whoever_writes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", RECORD, str(path), str(name)]) for name in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    counts = OutcomeLog(path).counts("v")
    assert (counts.uses, counts.successes) == (100, 80)
    assert OutcomeLog(path).counts("other").uses == 0
    assert OutcomeLog(tmp_path / "none.sqlite").counts("v").uses == 0


async def test_a_bad_word_disputes_a_version_until_a_good_one(tmp_path: Path) -> None:
    store = MarkdownTraceStore(tmp_path)
    seen = Verification(at=NOW, steps=1, files=0)
    stored, other = await store.save(trace(verified=seen)), await store.save(trace(verified=seen, answer="another"))
    before = Path(stored.location).read_bytes()
    assert stored.refusal is None
    await store.feedback(stored.trace_id, stored.version, "run-1", good=False, text="wrong sum: ' -- 日本")
    by_version = {found.version: found for found in await MarkdownTraceStore(tmp_path).versions(stored.trace_id)}
    assert by_version[stored.version].refusal == "its user found run run-1 bad: wrong sum: ' -- 日本"
    assert by_version[other.version].refusal is None
    await store.feedback(stored.trace_id, stored.version, "run-2", good=False)
    await store.record(stored.trace_id, stored.version, "run-3", True)
    disputed = {found.version: (found.disputed, found.uses) for found in await store.versions(stored.trace_id)}
    assert disputed == {stored.version: ("its user found run run-2 bad", 1), other.version: (None, 0)}
    await store.feedback(stored.trace_id, stored.version, "run-2", good=True)
    assert all(found.refusal is None for found in await store.versions(stored.trace_id))
    assert Path(stored.location).read_bytes() == before


async def test_feedback_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    store = MarkdownTraceStore(tmp_path)
    stored = await store.save(trace())
    (tmp_path / "feedback").write_text("in the way")
    with pytest.raises(TraceError, match="could not be kept"):
        await store.feedback(stored.trace_id, stored.version, "run-1", good=False)


async def test_a_bad_word_outlives_the_log_and_counts_where_it_cannot_be_read(tmp_path: Path) -> None:
    store = MarkdownTraceStore(tmp_path)
    stored = await store.save(trace())
    await store.feedback(stored.trace_id, stored.version, "run-1", good=False)
    (tmp_path / "outcomes.sqlite").write_bytes(b"damaged" * 1_000)
    await store.record(stored.trace_id, stored.version, "run-2", True)
    [found] = await store.versions(stored.trace_id)
    assert (found.uses, found.disputed) == (1, "its user found run run-1 bad")
    (tmp_path / f"feedback/{stored.version}.json").write_text("{")
    [found] = await store.versions(stored.trace_id)
    assert "cannot be read" in (found.disputed or "")

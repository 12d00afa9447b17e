"""The store in memory keeps the contract of every trace store."""

from __future__ import annotations

from datetime import timedelta

from llmos_core.kernel.memory import MemoryTraceStore
from tests.trace.conftest import primes_trace


async def test_versions_come_newest_first_and_one_saved_twice_is_one() -> None:
    store, trace = MemoryTraceStore(), primes_trace()
    old = await store.save(trace)
    new = await store.save(primes_trace(created_at=trace.created_at + timedelta(days=1)))
    assert await store.save(trace) == old
    assert list(await store.versions(old.trace_id)) == [new, old]
    assert [stored async for stored in store.scan()] == [new, old]
    assert list(await store.versions("f" * 16)) == []


async def test_outcomes_are_counted_once_a_run() -> None:
    store = MemoryTraceStore()
    stored = await store.save(primes_trace())
    for run_id, success in (("a", True), ("a", True), ("b", False)):
        await store.record(stored.trace_id, stored.version, run_id, success)
    [counted] = await store.versions(stored.trace_id)
    assert (counted.uses, counted.successes, counted.last_success) == (2, 1, False)
    assert counted.last_used is not None


async def test_a_bad_word_disputes_a_version_until_a_good_one() -> None:
    store = MemoryTraceStore()
    stored = await store.save(primes_trace())
    other = await store.save(primes_trace(answer="another"))
    assert stored.refusal is None
    await store.feedback(stored.trace_id, stored.version, "run-1", good=False, text="wrong sum")
    await store.record(stored.trace_id, stored.version, "run-2", True)
    by_version = {found.version: found for found in await store.versions(stored.trace_id)}
    assert by_version[stored.version].refusal == "its user found run run-1 bad: wrong sum"
    assert by_version[other.version].refusal is None
    await store.feedback(stored.trace_id, stored.version, "run-3", good=False)
    disputed = {found.disputed for found in await store.versions(stored.trace_id)}
    assert disputed == {"its user found run run-3 bad", None}
    await store.feedback(stored.trace_id, stored.version, "run-3", good=True)
    assert all(found.refusal is None for found in await store.versions(stored.trace_id))
    assert sum(found.uses for found in await store.versions(stored.trace_id)) == 1


async def test_what_is_not_there_is_neither_counted_nor_disputed() -> None:
    store = MemoryTraceStore()
    await store.record("f" * 16, "0" * 16, "run-1", True)
    await store.feedback("f" * 16, "0" * 16, "run-1", good=False)
    assert [stored async for stored in store.scan()] == []

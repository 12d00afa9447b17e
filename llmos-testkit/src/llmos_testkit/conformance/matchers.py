"""What every matcher keeps."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from llmos_core import Candidate, Matcher, Run, StoredTrace, Task, Trace
from llmos_testkit.conformance.base import Conformance, swallows_cancellation
from llmos_testkit.conformance.samples import GOAL, trace
from llmos_testkit.conformance.stage import stage, without


class MatcherConformance(Conformance):
    """Checks of a :class:`llmos_core.Matcher`. Give it as the fixture ``matcher``."""

    @pytest.fixture
    def matcher(self) -> Matcher:
        """The matcher under test."""
        raise NotImplementedError("give the matcher: override the fixture `matcher`")

    def test_fulfils_the_contract(self, matcher: Matcher) -> None:
        assert isinstance(matcher, Matcher), f"{type(matcher).__name__} lacks a part of llmos_core.Matcher"
        assert inspect.iscoroutinefunction(matcher.propose), "propose is no async function"

    def test_it_has_a_name(self, matcher: Matcher) -> None:
        assert isinstance(matcher.name, str), "the name is no text"
        assert matcher.name.strip(), "the name is empty"

    async def test_proposes_candidates(self, matcher: Matcher, place: Path) -> None:
        for candidate in await self._proposed(matcher, place, [trace(1), trace(2)]):
            assert isinstance(candidate, Candidate), f"it proposed {type(candidate).__name__}, not a Candidate"
            assert 0 <= candidate.score <= 1, f"the score is {candidate.score}, not within 0 and 1"

    async def test_proposes_only_what_is_stored(self, matcher: Matcher, place: Path) -> None:
        async with self._staged(place) as run:
            kept = [await run.traces.save(trace(number)) for number in (1, 2)]
            found = await _propose(matcher, Task(goal=GOAL), run)
        stored = {(s.trace_id, s.version) for s in kept}
        odd = [_named(c) for c in found if (getattr(c, "trace_id", ""), getattr(c, "version", "")) not in stored]
        assert not odd, f"proposed, and not in the store: {', '.join(odd)}"

    async def test_proposes_nothing_where_nothing_is_stored(self, matcher: Matcher, place: Path) -> None:
        assert not await self._proposed(matcher, place, []), "there is nothing to propose"

    async def test_does_not_offer_what_was_not_verified(self, matcher: Matcher, place: Path) -> None:
        unverified = trace(verified=None, unverified_reason="its replay differed")
        self._check_refused(await self._proposed(matcher, place, [unverified]), "a trace that was not verified")

    async def test_does_not_offer_what_did_not_complete(self, matcher: Matcher, place: Path) -> None:
        self._check_refused(await self._proposed(matcher, place, [trace(completed=False)]), "a run that failed")

    async def test_does_not_offer_what_is_disputed(self, matcher: Matcher, place: Path) -> None:
        async with self._staged(place) as run:
            stored = await run.traces.save(trace())
            await run.traces.feedback(stored.trace_id, stored.version, "run-1", False, "wrong")
            found = await _propose(matcher, Task(goal=GOAL), run)
        self._check_refused(found, "a trace that its user found bad")

    async def test_does_not_offer_a_trace_of_other_inputs(self, matcher: Matcher, place: Path) -> None:
        found = await self._proposed(matcher, place, [trace(inputs={"n": 1})], inputs={"n": 2})
        self._check_refused(found, "a trace learned with other inputs")

    async def test_does_not_offer_a_trace_of_other_constraints(self, matcher: Matcher, place: Path) -> None:
        found = await self._proposed(matcher, place, [trace()], constraints=("Never write a file.",))
        self._check_refused(found, "a trace learned under other constraints")

    async def test_does_not_offer_a_trace_of_another_environment(self, matcher: Matcher, place: Path) -> None:
        self._check_refused(
            await self._proposed(matcher, place, [trace(env=("TOKEN",))]), "a trace learned with other variables"
        )

    async def test_does_not_offer_a_trace_of_an_unrelated_goal(self, matcher: Matcher, place: Path) -> None:
        found = await self._proposed(matcher, place, [trace(goal="Delete all invoices of 2019")])
        self._check_refused(found, "a trace of an unrelated goal")

    async def test_does_not_offer_another_version_than_asked_for(self, matcher: Matcher, place: Path) -> None:
        found = await self._proposed(matcher, place, [trace()], version="0" * 16)
        self._check_refused(found, "another version than the task asks for")

    async def test_changes_nothing_in_the_store(self, matcher: Matcher, place: Path) -> None:
        async with self._staged(place) as run:
            await run.traces.save(trace())
            before = [s async for s in run.traces.scan()]
            await _propose(matcher, Task(goal=GOAL), run)
            after: list[StoredTrace] = [s async for s in run.traces.scan()]
        assert after == before, "a matcher proposes, and counts or stores nothing"

    async def test_cancellation_passes(self, matcher: Matcher, place: Path) -> None:
        async with self._staged(place) as run:
            swallowed = await swallows_cancellation(lambda: matcher.propose(Task(goal=GOAL), run))
        assert not swallowed, "propose() swallowed its cancellation"

    async def _proposed(self, matcher: Matcher, place: Path, traces: Iterable[Trace], **task: Any) -> list[Any]:
        async with self._staged(place) as run:
            for kept in traces:
                await run.traces.save(kept)
            return await _propose(matcher, Task(goal=GOAL, **task), run)

    def _check_refused(self, found: list[Any], what: str) -> None:
        offered = [_named(candidate) for candidate in found if getattr(candidate, "refused", "") is None]
        assert not offered, f"{what} is offered to be followed: {', '.join(offered)}"

    def _staged(self, place: Path) -> Any:
        hooks = ("llmos_matchers", "llmos_memory_backends")
        return stage(place, {name: without(plugin, *hooks) for name, plugin in self.plugins.items()})


async def _propose(matcher: Matcher, task: Task, run: Run) -> list[Any]:
    return list(await matcher.propose(task, run))


def _named(candidate: Any) -> str:
    return f"{getattr(candidate, 'trace_id', candidate)}, version {getattr(candidate, 'version', '?')}"

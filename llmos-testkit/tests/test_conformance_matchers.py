"""Each check of matchers and agents can fail."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest

from llmos_core import AgentSpec, Candidate, Run, Task, goal_signature
from llmos_testkit.conformance import AgentConformance, MatcherConformance

from .conformance_parts import assert_each_check_can_fail, run_checks


class Same:
    """A small exact matcher. Each attribute is one reason to refuse that it knows."""

    name: Any = "same"
    kept = frozenset({"stored", "inputs", "constraints", "env", "version", "goal"})

    async def propose(self, task: Task, run: Run) -> Any:
        await anyio.lowlevel.checkpoint()
        return [self.candidate(task, stored) async for stored in run.traces.scan()]

    def candidate(self, task: Task, stored: Any) -> Any:
        trace = stored.trace
        reasons = {
            "stored": stored.refusal,
            "inputs": json.dumps(trace.inputs) != json.dumps(task.inputs),
            "constraints": trace.constraints != task.constraints,
            "env": set(trace.env) != set(task.env),
            "version": task.version not in (None, stored.version),
            "goal": trace.goal_signature != goal_signature(task.goal),
        }
        refused = next((name for name, reason in reasons.items() if reason and name in self.kept), None)
        return Candidate(trace_id=stored.trace_id, version=stored.version, score=1.0, refused=refused)


def without(reason: str) -> Any:
    return type("Careless", (Same,), {"kept": Same.kept - {reason}})


class Sync(Same):
    def propose(self, task: Task, run: Run) -> Any:
        return super().propose(task, run)


class Certain(Same):
    def candidate(self, task: Task, stored: Any) -> Any:
        fair = super().candidate(task, stored)
        return fair.model_copy(update={"score": 7.0})


class Dreaming(Same):
    async def propose(self, task: Task, run: Run) -> Any:
        found = await super().propose(task, run)
        return [c.model_copy(update={"version": "f" * 16}) for c in found] if len(found) == 2 else found


class Always(Same):
    async def propose(self, task: Task, run: Run) -> Any:
        found = await super().propose(task, run)
        return found or [Candidate(trace_id="f" * 16, version="f" * 16, score=0.0, refused="invented")]


def trusting(wanted: str) -> Any:
    class Trusting(Same):
        def candidate(self, task: Task, stored: Any) -> Any:
            fair = super().candidate(task, stored)
            trusted = stored.refusal is not None and wanted in stored.refusal
            return fair.model_copy(update={"refused": None}) if trusted else fair

    return Trusting


class Scribbling(Same):
    async def propose(self, task: Task, run: Run) -> Any:
        found = await super().propose(task, run)
        for candidate in found:
            await run.traces.record(candidate.trace_id, candidate.version, run.id, True)
        return found


class Deaf(Same):
    async def propose(self, task: Task, run: Run) -> Iterable[Candidate]:
        try:
            found: Iterable[Candidate] = await super().propose(task, run)
        except anyio.get_cancelled_exc_class():
            return []
        return found


def conforming(make: Any) -> type:
    class Checked(MatcherConformance):
        @pytest.fixture
        def matcher(self) -> Any:
            return make()

    return Checked


MUTANTS: dict[str, Any] = {
    "test_fulfils_the_contract": Sync,
    "test_it_has_a_name": type("Nameless", (Same,), {"name": ""}),
    "test_proposes_candidates": Certain,
    "test_proposes_only_what_is_stored": Dreaming,
    "test_proposes_nothing_where_nothing_is_stored": Always,
    "test_does_not_offer_what_was_not_verified": trusting("replay differed"),
    "test_does_not_offer_what_did_not_complete": trusting("did not complete"),
    "test_does_not_offer_what_is_disputed": trusting("found run"),
    "test_does_not_offer_a_trace_of_other_inputs": without("inputs"),
    "test_does_not_offer_a_trace_of_other_constraints": without("constraints"),
    "test_does_not_offer_a_trace_of_another_environment": without("env"),
    "test_does_not_offer_a_trace_of_an_unrelated_goal": without("goal"),
    "test_does_not_offer_another_version_than_asked_for": without("version"),
    "test_changes_nothing_in_the_store": Scribbling,
    "test_cancellation_passes": Deaf,
}


def test_each_check_of_matchers_can_fail(tmp_path: Path) -> None:
    mutants = {check: conforming(make) for check, make in MUTANTS.items()}
    assert_each_check_can_fail(tmp_path, MatcherConformance, conforming(Same), mutants)


def agent(**fields: Any) -> AgentSpec:
    told = {"name": "reader", "description": "Reads.", "system_prompt": "Read it.", "tools": ("Read", "Grep")}
    return AgentSpec(**{**told, **fields})


def checked_agent(given: Any) -> type:
    class Checked(AgentConformance):
        @pytest.fixture
        def agent(self) -> Any:
            return given

    return Checked


AGENTS: dict[str, Any] = {
    "test_the_system_takes_it": Path("/nonexistent/agent.md"),
    "test_name_can_be_called_by_a_model": agent(name="the reader"),
    "test_description_tells_a_model_when_to_ask_it": agent(description="  "),
    "test_it_is_told_what_to_do": agent(system_prompt="\n"),
    "test_its_tools_are_named_as_the_kernel_names_them": agent(tools=("mcp__llmos__Read",)),
    "test_its_tools_are_named_once": agent(tools=("Read", "Read")),
}


def test_each_check_of_agents_can_fail(tmp_path: Path) -> None:
    mutants = {check: checked_agent(given) for check, given in AGENTS.items()}
    assert_each_check_can_fail(tmp_path, AgentConformance, checked_agent(agent()), mutants)


def test_a_markdown_agent_is_checked_as_the_system_reads_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("---\ndescription: Reads.\ntools: Read, Grep\n---\nRead it.\n")
    bad.write_text("---\ndescription: Reads.\ntools: Read it, Grep\n---\n\n")
    verdicts = run_checks(tmp_path, {"good": checked_agent(good), "bad": checked_agent(bad)}).verdicts
    assert set(verdicts["good"].values()) == {"passed"}
    assert {check for check, outcome in verdicts["bad"].items() if outcome == "failed"} == {
        "test_it_is_told_what_to_do",
        "test_its_tools_are_named_as_the_kernel_names_them",
    }

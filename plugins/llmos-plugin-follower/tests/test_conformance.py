"""The Follower and its matcher keep their contracts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from llmos_core import Matcher, Run, Step, StepResult, Strategy, Trace, Verification, goal_signature
from llmos_plugin_follower import plugin
from llmos_plugin_follower.exact import ExactMatcher
from llmos_plugin_follower.follower import Follower
from llmos_testkit.conformance import MatcherConformance, PluginConformance, StrategyConformance


class TestPlugin(PluginConformance):
    plugin_name = "follower"


class TestExactMatcher(MatcherConformance):
    @pytest.fixture
    def matcher(self) -> Matcher:
        return ExactMatcher()


class TestFollower(StrategyConformance):
    plugins = {"follower": plugin}

    @pytest.fixture
    def strategy(self) -> Strategy:
        return Follower()

    async def prepare(self, run: Run) -> None:
        """A trace to follow, which calls the tool that is there."""
        step = Step(
            title="Probe",
            tool="Probe",
            effect="pure",
            arguments={"text": "hello"},
            result=StepResult(output="hello"),
        )
        at = datetime(2026, 1, 15, tzinfo=UTC)
        trace = Trace(
            goal_signature=goal_signature(self.goal),
            goal_text=self.goal,
            success_rating=1.0,
            created_at=at,
            estimated_cost_usd=0.1,
            cost_billing="free",
            estimated_time_secs=1.0,
            mode="LEARNER",
            tools_used=("Probe",),
            steps=(step,),
            verified=Verification(at=at, steps=1, files=0),
        )
        await run.traces.save(trace)

"""What the plugin contributes, and how light its cold path is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmos_core import ModelProvider, Run, Strategy, Task, UsageError
from llmos_plugin_claude import plugin
from llmos_plugin_claude.learner import ESTIMATE_USD, Learner
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_plugin_claude.settings import ClaudeSettings

from .fakes import FakeRun


def test_what_it_contributes() -> None:
    [strategy] = plugin.llmos_strategies()
    [provider, login] = plugin.llmos_models(lambda kind: kind())
    assert isinstance(strategy, Strategy)
    assert isinstance(provider, ModelProvider)
    assert isinstance(login, ModelProvider)
    assert (strategy.name, strategy.learns) == ("LEARNER", True)
    assert plugin.llmos_settings() is ClaudeSettings


COLD = """
import asyncio, json, sys
from llmos_plugin_claude import plugin
from llmos_core import Task
[learner], [provider, login] = plugin.llmos_strategies(), plugin.llmos_models(lambda kind: kind())
settings = plugin.llmos_settings()
class Run:
    model = provider
    def settings(self, kind): return settings()
bid = asyncio.run(learner.bid(Task(goal="x"), Run()))
heavy = {"claude_agent_sdk", "mcp", "uvicorn", "starlette", "httpx2", "h11"}
print(json.dumps([bid.fit, sorted(heavy & set(sys.modules))]))
"""


def test_contributing_and_bidding_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [0.95, []]


async def test_the_bid_for_a_paid_model(workdir: Path) -> None:
    bid = await Learner().bid(Task(goal="x"), FakeRun(workdir))
    assert (bid.fit, bid.cost_usd, bid.refusal) == (0.95, ESTIMATE_USD, None)
    assert "anthropic" in bid.reason


async def test_the_bid_for_a_local_model_is_free(workdir: Path) -> None:
    run = FakeRun(workdir, settings=ClaudeSettings(base_url="http://localhost:11434"))
    assert (await Learner().bid(Task(goal="x"), run)).cost_usd == 0


class Scripted(AnthropicProvider):
    name = "scripted"
    billing = "rehearsal"

    def notices(self) -> Sequence[str]:
        return ("This is a rehearsal.",)

    def check(self, task: Task, run: Run) -> None:
        if task.goal == "unknown":
            raise UsageError("No lesson matches this goal.", "why", "fix")


async def test_the_bid_passes_on_what_the_provider_says(workdir: Path) -> None:
    run = FakeRun(workdir, Scripted({}))
    bid = await Learner().bid(Task(goal="known"), run)
    assert (bid.fit, bid.cost_usd, bid.notices) == (0.95, 0.0, ("This is a rehearsal.",))
    refused = await Learner().bid(Task(goal="unknown"), run)
    assert refused.fit == 0
    assert refused.refusal is not None
    assert (refused.refusal.what, refused.refusal.exit_code) == ("No lesson matches this goal.", 2)


async def test_without_a_model_there_is_no_bid(workdir: Path) -> None:
    class Modelless(FakeRun):
        @property
        def model(self) -> ModelProvider:
            raise UsageError("No model is ready.")

        @model.setter
        def model(self, value: ModelProvider) -> None: ...

    bid = await Learner().bid(Task(goal="x"), Modelless(workdir))
    assert bid.refusal is not None
    assert (bid.fit, bid.refusal.what) == (0, "No model is ready.")


@pytest.mark.parametrize(
    "wrong",
    [
        {"modle": "x"},
        {"model": ""},
        {"max_turns": 0},
        {"base_url": "localhost:80"},
        {"base_url": "https://gateway.example.com/anthropic/"},
        {"base_url": "http://localhost.example.com"},
        {"base_url": "http://localhost@example.com"},
        {"base_url": "http://127.0.0.1:80@example.com"},
        {"base_url": "ftp://x"},
        {"base_url": "http://"},
        {"base_url": "http://x?y"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClaudeSettings.model_validate(wrong)


def test_settings_may_name_a_path() -> None:
    assert ClaudeSettings(base_url="http://127.0.0.1:8080/anthropic/").base_url

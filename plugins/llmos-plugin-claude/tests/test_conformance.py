"""The Learner and the providers keep their contracts."""

from __future__ import annotations

import pytest

from llmos_core import ModelProvider, Strategy
from llmos_plugin_claude import plugin
from llmos_plugin_claude.learner import Learner
from llmos_plugin_claude.models.anthropic import AnthropicProvider
from llmos_plugin_claude.models.subscription import SubscriptionProvider
from llmos_plugin_claude.settings import ClaudeSettings
from llmos_testkit import ScriptedModel
from llmos_testkit.conformance import ModelProviderConformance, PluginConformance, StrategyConformance

KEY = "sk-ant-conformance-0123456789"


class TestPlugin(PluginConformance):
    plugin_name = "claude"


@pytest.mark.cli
class TestLearner(StrategyConformance):
    plugins = {"claude": plugin}

    @pytest.fixture
    def strategy(self) -> Strategy:
        return Learner()


class TestAnthropicProvider(ModelProviderConformance):
    """With a key, at a server on loopback."""

    @pytest.fixture
    def provider(self, scripted_model: ScriptedModel) -> ModelProvider:
        scripted_model.script = lambda received: "Done."
        return AnthropicProvider({"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": scripted_model.url})


class TestAnthropicProviderWithoutKey(ModelProviderConformance):
    @pytest.fixture
    def provider(self) -> ModelProvider:
        return AnthropicProvider({})


class TestSubscriptionProvider(ModelProviderConformance):
    @pytest.fixture
    def provider(self) -> ModelProvider:
        return SubscriptionProvider(ClaudeSettings())

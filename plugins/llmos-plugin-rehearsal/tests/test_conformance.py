"""The scripted model keeps the contract of every model provider."""

from __future__ import annotations

import pytest

from llmos_core import ModelProvider
from llmos_plugin_rehearsal.provider import RehearsalProvider
from llmos_testkit.conformance import ModelProviderConformance, PluginConformance

PRIMES = "Create a Python script that prints the primes below 30 and run it"


class TestPlugin(PluginConformance):
    plugin_name = "rehearsal"


class TestRehearsalProvider(ModelProviderConformance):
    goal = PRIMES
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": PRIMES}],
        "tools": [{"name": name, "input_schema": {"type": "object"}} for name in ("Write", "Bash")],
    }

    @pytest.fixture
    def provider(self) -> ModelProvider:
        return RehearsalProvider()

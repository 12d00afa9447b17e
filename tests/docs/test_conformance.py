"""The examples keep what the test kit asks of every plugin: what is shown is what will be copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from llmos_core import (
    AgentSpec,
    Ledger,
    Matcher,
    MemoryBackend,
    ModelProvider,
    NoteStore,
    Strategy,
    Tool,
    TraceStore,
)
from llmos_testkit.conformance import (
    AgentConformance,
    HooksConformance,
    LedgerConformance,
    MatcherConformance,
    MemoryBackendConformance,
    ModelProviderConformance,
    NoteStoreConformance,
    StrategyConformance,
    ToolConformance,
    TraceStoreConformance,
)
from tests.docs.test_examples import example


class TestTool(ToolConformance):
    bad_examples = ({"file": "missing.txt"}, {"file": "../../out.txt"}, {"file": "."})

    @pytest.fixture
    def tool(self) -> Tool:
        tool: Tool = example("tools").CountWords()
        return tool


class TestToolWithSettings(ToolConformance):
    example: ClassVar[Mapping[str, str]] = {"who": "Ada"}

    @pytest.fixture
    def tool(self) -> Tool:
        module = example("settings")
        tool: Tool = module.Greet(module.GreeterSettings())
        return tool


class TestAgent(AgentConformance):
    @pytest.fixture(params=[0, 1])
    def agent(self, request: pytest.FixtureRequest) -> AgentSpec | Path:
        agent: AgentSpec | Path = example("agents").llmos_agents()[request.param]
        return agent


class TestTraceStore(TraceStoreConformance):
    @pytest.fixture
    def open_store(self, place: Path) -> Callable[[], TraceStore]:
        return partial(example("memory_backends").Volatile().trace_store, place)


class TestNoteStore(NoteStoreConformance):
    @pytest.fixture
    def open_store(self, place: Path) -> Callable[[], NoteStore]:
        return partial(example("memory_backends").Volatile().note_store, place)


class TestMemoryBackend(MemoryBackendConformance):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        backend: MemoryBackend = example("memory_backends").Volatile()
        return backend


class TestStrategy(StrategyConformance):
    goal = "Add 2 and 3"

    @pytest.fixture
    def strategy(self) -> Strategy:
        strategy: Strategy = example("strategies").Adder()
        return strategy


class TestMatcher(MatcherConformance):
    @pytest.fixture
    def matcher(self) -> Matcher:
        matcher: Matcher = example("matchers").CaselessMatcher()
        return matcher


class TestModel(ModelProviderConformance):
    @pytest.fixture
    def provider(self) -> ModelProvider:
        provider: ModelProvider = example("models").Parrot()
        return provider


class TestLedger(LedgerConformance):
    @pytest.fixture
    def ledger(self) -> Ledger:
        ledger: Ledger = example("ledgers").Purse()
        return ledger


class TestHooks(HooksConformance):
    @pytest.fixture(params=["guards", "observers", "transforms", "local"])
    def plugin(self, request: pytest.FixtureRequest) -> ModuleType:
        return example(request.param)

"""The backend and its stores keep their contracts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmos_core import MemoryBackend, NoteStore, TraceStore
from llmos_plugin_memory.backend import MarkdownMemory
from llmos_testkit.conformance import (
    MemoryBackendConformance,
    NoteStoreConformance,
    PluginConformance,
    TraceStoreConformance,
)


class TestPlugin(PluginConformance):
    plugin_name = "memory"


class TestMarkdownMemory(MemoryBackendConformance):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        return MarkdownMemory()


class TestMarkdownTraceStore(TraceStoreConformance):
    @pytest.fixture
    def open_store(self, place: Path) -> Callable[[], TraceStore]:
        return lambda: MarkdownMemory().trace_store(place / "memories")


class TestMarkdownNoteStore(NoteStoreConformance):
    @pytest.fixture
    def open_store(self, place: Path) -> Callable[[], NoteStore]:
        return lambda: MarkdownMemory().note_store(place / "memories")

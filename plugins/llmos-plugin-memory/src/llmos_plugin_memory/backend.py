"""The memory backend: a workspace's ``memories/`` directory."""

from __future__ import annotations

from pathlib import Path

from llmos_core import NoteStore, TraceStore
from llmos_plugin_memory.notes import MarkdownNoteStore
from llmos_plugin_memory.traces import MarkdownTraceStore


class MarkdownMemory:
    """Keeps traces and notes as Markdown files that people can read, review and put under version control."""

    name = "markdown"

    def trace_store(self, root: Path) -> TraceStore:
        return MarkdownTraceStore(root)

    def note_store(self, root: Path) -> NoteStore:
        return MarkdownNoteStore(root)

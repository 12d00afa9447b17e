"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable

from llmos_core import MemoryBackend, hookimpl


@hookimpl
def llmos_memory_backends() -> Iterable[MemoryBackend]:
    """Traces as Markdown files."""
    from llmos_plugin_memory.backend import MarkdownMemory

    return [MarkdownMemory()]

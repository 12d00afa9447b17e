"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable

from llmos_core import ModelProvider, hookimpl


@hookimpl
def llmos_models() -> Iterable[ModelProvider]:
    """The scripted model."""
    from llmos_plugin_rehearsal.provider import RehearsalProvider

    return [RehearsalProvider()]

"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from llmos_core import ModelProvider, Strategy, hookimpl


@hookimpl
def llmos_strategies() -> Iterable[Strategy]:
    """The Learner."""
    from llmos_plugin_claude.learner import Learner

    return [Learner()]


@hookimpl
def llmos_models() -> Iterable[ModelProvider]:
    """The Anthropic API, or any server that speaks the same."""
    from llmos_plugin_claude.anthropic import AnthropicProvider

    return [AnthropicProvider()]


@hookimpl
def llmos_settings() -> type[BaseModel]:
    """The table ``[plugins.claude]``."""
    from llmos_plugin_claude.settings import ClaudeSettings

    return ClaudeSettings

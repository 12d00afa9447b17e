"""Hook implementations."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from llmos_core import Check, ModelProvider, SettingsOf, Strategy, hookimpl


@hookimpl
def llmos_strategies() -> Iterable[Strategy]:
    """The Learner."""
    from llmos_plugin_claude.learner import Learner

    return [Learner()]


@hookimpl
def llmos_models(settings: SettingsOf) -> Iterable[ModelProvider]:
    """The Anthropic API, or any server that speaks the same; and the CLI's own login."""
    from llmos_plugin_claude.models.anthropic import AnthropicProvider
    from llmos_plugin_claude.models.subscription import SubscriptionProvider
    from llmos_plugin_claude.settings import ClaudeSettings

    ours: ClaudeSettings = settings(ClaudeSettings)
    return [AnthropicProvider.of_user(ours), SubscriptionProvider(ours)]


@hookimpl
def llmos_native_tools(settings: SettingsOf) -> Iterable[str]:
    """The CLI's own tools that the settings switch on."""
    from llmos_plugin_claude.sdk.native import NativeTools
    from llmos_plugin_claude.settings import ClaudeSettings

    return NativeTools(settings(ClaudeSettings)).names


@hookimpl
def llmos_settings() -> type[BaseModel]:
    """The table ``[plugins.claude]``."""
    from llmos_plugin_claude.settings import ClaudeSettings

    return ClaudeSettings


@hookimpl
def llmos_checks() -> Iterable[Check]:
    """Which SDK the Learner drives."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return [Check.ok("sdk", f"claude-agent-sdk {version('claude-agent-sdk')}")]
    except PackageNotFoundError:
        fix = 'Install it: pip install "llmos-plugin-claude[sdk]"'
        return [Check.warning("sdk", "claude-agent-sdk is not installed: a simpler loop learns instead", fix)]

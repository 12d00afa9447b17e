"""Every extension point of LLM OS, on one page.

A plugin is a module named by an entry point in the group ``llmos.plugins``. It implements any of these with
``@hookimpl`` and takes only the arguments it needs. Contributions are collected once, at boot. Run-time hooks are
called by the kernel: guards all run and the strictest verdict wins, observers all run in isolation, transforms
form a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from pydantic import BaseModel

from llmos_core.events import Event
from llmos_core.records import AgentSpec, Outcome, ToolCall, ToolResult, Verdict

if TYPE_CHECKING:
    from llmos_core.contracts import (
        Ledger,
        Matcher,
        MemoryBackend,
        ModelProvider,
        ModelRequest,
        Run,
        Strategy,
        Tool,
    )
    from llmos_core.events import ModelUsed

SettingsOf = Callable[[type[Any]], Any]

hookspec = pluggy.HookspecMarker("llmos")
hookimpl = pluggy.HookimplMarker("llmos")


# Contributions: collected once, at boot, by plain functions. ``settings(kind)`` gives the settings contributed as that
# model, validated.


@hookspec
def llmos_tools(settings: SettingsOf) -> Iterable[Tool]:  # type: ignore[empty-body]
    """Tools that the kernel can run."""


@hookspec
def llmos_agents(settings: SettingsOf) -> Iterable[AgentSpec | Path]:  # type: ignore[empty-body]
    """Agents that a Learner may delegate to: specs, or paths of Markdown agents."""


@hookspec
def llmos_memory_backends(settings: SettingsOf) -> Iterable[MemoryBackend]:  # type: ignore[empty-body]
    """Places where traces are kept."""


@hookspec
def llmos_strategies(settings: SettingsOf) -> Iterable[Strategy]:  # type: ignore[empty-body]
    """Ways of running a task; they bid for it."""


@hookspec
def llmos_matchers(settings: SettingsOf) -> Iterable[Matcher]:  # type: ignore[empty-body]
    """Proposers of candidate traces for a goal."""


@hookspec
def llmos_models(settings: SettingsOf) -> Iterable[ModelProvider]:  # type: ignore[empty-body]
    """Providers that answer a Messages request."""


@hookspec
def llmos_native_tools(settings: SettingsOf) -> Iterable[str]:  # type: ignore[empty-body]
    """Names of tools that a strategy has outside the kernel; constraints may name them."""


@hookspec
def llmos_ledgers(settings: SettingsOf) -> Iterable[Ledger]:  # type: ignore[empty-body]
    """Holders of money; without one, spending is only reported."""


@hookspec
def llmos_settings() -> type[BaseModel]:  # type: ignore[empty-body]
    """The plugin's settings, read from ``[plugins.NAME]``."""


# Run-time hooks: called by the kernel during a run.

RUN_TIME = (
    "llmos_user_prompt_submit",
    "llmos_pre_tool_use",
    "llmos_post_tool_use",
    "llmos_pre_model_request",
    "llmos_post_model_response",
    "llmos_stop",
    "llmos_event",
)


@hookspec
def llmos_user_prompt_submit(prompt: str, run: Run) -> str | None:
    """Transform: may return a longer prompt, for example with remembered context."""


@hookspec
def llmos_pre_tool_use(call: ToolCall, run: Run) -> Verdict | None:
    """Guard: judge a tool call before it runs. A guard that raises, hangs or answers nonsense means deny."""


@hookspec
def llmos_post_tool_use(call: ToolCall, result: ToolResult, run: Run) -> None:
    """Observe a tool call that ended, failed calls included."""


@hookspec
def llmos_pre_model_request(request: ModelRequest, run: Run) -> Verdict | None:
    """Guard: judge a model request before it is sent."""


@hookspec
def llmos_post_model_response(response: ModelUsed, run: Run) -> None:
    """Observe a model request that ended, with its tokens and cost."""


@hookspec
def llmos_stop(outcome: Outcome, run: Run) -> Outcome | None:
    """Transform: a run has ended; may return the outcome completed, for example with a trace id."""


@hookspec
def llmos_event(event: Event) -> None:
    """Observe every event of the stream."""

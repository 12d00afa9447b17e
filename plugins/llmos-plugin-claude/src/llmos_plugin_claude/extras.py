"""What one caller brings along for one run: agents, and hooks of the SDK. A task has no field for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmos_core import AgentSpec, Run

if TYPE_CHECKING:
    from claude_agent_sdk import HookMatcher
    from claude_agent_sdk.types import HookEvent


@dataclass(frozen=True, slots=True)
class Extras:
    """Agents by name, and hooks as ``ClaudeAgentOptions.hooks`` takes them."""

    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    hooks: Mapping[HookEvent, Sequence[HookMatcher]] = field(default_factory=dict)


_brought: ContextVar[Extras] = ContextVar("llmos_plugin_claude_extras", default=Extras())  # noqa: B039 - it is frozen


@contextmanager
def bringing(extras: Extras) -> Iterator[None]:
    """Within the context, runs that the caller starts have these extras, and so have the runs within them."""
    token = _brought.set(extras)
    try:
        yield
    finally:
        _brought.reset(token)


def brought() -> Extras:
    """The extras of the run that is under way."""
    return _brought.get()


def agents_of(run: Run) -> dict[str, AgentSpec]:
    """The agents that a run may start: the system's, and the caller's own, which win."""
    return {**run.agents, **brought().agents}

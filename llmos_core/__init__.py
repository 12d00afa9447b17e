"""LLM OS: an operating system for agents that treats the LLM as the CPU.

These are the public names; plugins import from here and from nowhere deeper. Each is imported on first use, so that
a command or a plugin costs only what it touches. Type checkers read them in ``__init__.pyi``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "contracts": """
        Hold Ledger Matcher MemoryBackend ModelProvider ModelReply ModelRequest Run StoredTrace Strategy Tool
        TraceStore
    """,
    "errors": """
        BudgetError DeniedError DivergedError ExitCode LLMOSError PluginError RunInterruptedError RunTimeoutError
        SettingsError TraceError UsageError WorkspaceError
    """,
    "files": "file_digest write_atomic",
    "goal": "canonical_goal goal_signature",
    "hookspecs": "hookimpl",
    "records": """
        AUTO AgentSpec AnyEvent Bid Billing Candidate Effect ErrorInfo Event FileState LlmOutput ModeChosen
        ModelUsed Notice Offer Outcome Record Result RunFinished Task ToolCall ToolDenied ToolOutput ToolResult
        ToolStarted TraceSaved TreeState Usage UserInput Verdict
    """,
    "system": "LLMOS",
    "trace.binding": "Abstraction bind values_for",
    "trace.markdown": "parse_trace render_trace trace_version",
    "trace.record": "Parameter ProducedFile Step StepResult Trace Verification",
    "trace.replay": "Divergence Replayed replay",
}
"""The public names, by the module they live in."""

_HOMES = {name: f"llmos_core.{module}" for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value

"""LLM OS: an operating system for agents that treats the LLM as the CPU.

These are the public names; plugins import from here and from nowhere deeper. Each is imported on first use, so that
a command or a plugin costs only what it touches. Type checkers read them in ``__init__.pyi``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

API_VERSION = __version__.rpartition(".")[0]
"""The version of what plugins build on. Before 1.0 another one may be incompatible, later another first number."""

_NAMES = {
    "constraints": "same_constraints",
    "contracts": """
        Hold Ledger Matcher MemoryBackend ModelProvider ModelReply ModelRequest NoteBackend NoteStore
        StoredTrace Strategy Tool TraceStore disputed
    """,
    "errors": """
        ApprovalError BudgetError DeniedError DivergedError ExitCode LLMOSError ModelStalledError PluginError
        RunInterruptedError RunTimeoutError SettingsError TraceError UsageError WorkspaceError
    """,
    "events": """
        AgentFinished AgentStarted AnyEvent Event LlmDelta LlmOutput ModeChosen ModelUsed Notice
        RunFinished ToolApproved ToolDenied ToolOutput ToolStarted TraceSaved UserInput
    """,
    "files": "file_digest write_atomic",
    "goal": "canonical_goal goal_signature",
    "hookspecs": "SettingsOf hookimpl",
    "host.settings": "OWN Settings SettingsFile load_settings plugin_settings",
    "host.settings_file": "user_file",
    "records": """
        AUTO AgentSpec Bid Billing Candidate Check Effect ErrorInfo FileState Note Offer Outcome PermissionMode
        Record Result Task ToolCall ToolResult TreeState Usage Verdict clock
    """,
    "kernel.approvals": "exact_call",
    "past": "PastRun",
    "run": "ModelInfo Run Serve ToolInfo",
    "seals": "is_sealed seal",
    "system": "LLMOS OnAsk OnEvent make_task of_run",
    "workspace": "Project",
    "trace.binding": "Abstraction bind values_for",
    "trace.markdown": "parse_trace render_trace trace_version",
    "trace.record": "Parameter ProducedFile Step StepResult Trace UsedPlugin Verification",
    "trace.replay": "Divergence Replayed preflight replay",
}
"""The public names, by the module they live in."""

_HOMES = {name: f"llmos_core.{module}" for module, names in _NAMES.items() for name in names.split()}

__all__ = ["API_VERSION", "__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value

"""LLM OS: an operating system for agents that treats the LLM as the CPU.

These are the public names; plugins import from here and from nowhere deeper. ``LLMOS`` and what concerns the text
form of traces are imported on first use, so that a plugin costs little to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmos_core.contracts import (
    Hold,
    Ledger,
    Matcher,
    MemoryBackend,
    ModelProvider,
    ModelReply,
    ModelRequest,
    Run,
    StoredTrace,
    Strategy,
    Tool,
    TraceStore,
)
from llmos_core.errors import (
    BudgetError,
    DeniedError,
    DivergedError,
    ExitCode,
    LLMOSError,
    PluginError,
    RunTimeoutError,
    SettingsError,
    TraceError,
    UsageError,
    WorkspaceError,
)
from llmos_core.hookspecs import hookimpl
from llmos_core.records import (
    AUTO,
    AgentSpec,
    AnyEvent,
    Bid,
    Billing,
    Candidate,
    Effect,
    ErrorInfo,
    Event,
    FileState,
    LlmOutput,
    ModeChosen,
    ModelUsed,
    Notice,
    Offer,
    Outcome,
    Record,
    Result,
    RunFinished,
    Task,
    ToolCall,
    ToolDenied,
    ToolOutput,
    ToolResult,
    ToolStarted,
    TraceSaved,
    TreeState,
    Usage,
    UserInput,
    Verdict,
)
from llmos_core.trace.record import Parameter, ProducedFile, Step, StepResult, Trace, Verification

if TYPE_CHECKING:
    from llmos_core.files import file_digest, write_atomic
    from llmos_core.goal import canonical as canonical_goal
    from llmos_core.goal import signature as goal_signature
    from llmos_core.system import LLMOS
    from llmos_core.trace.binding import Abstraction, bind, values_for
    from llmos_core.trace.markdown import parse_trace, render_trace, trace_version
    from llmos_core.trace.replay import Divergence, Replayed, replay

__version__ = "0.1.0"

_LAZY = {
    "LLMOS": ("llmos_core.system", "LLMOS"),
    "Abstraction": ("llmos_core.trace.binding", "Abstraction"),
    "Divergence": ("llmos_core.trace.replay", "Divergence"),
    "Replayed": ("llmos_core.trace.replay", "Replayed"),
    "bind": ("llmos_core.trace.binding", "bind"),
    "canonical_goal": ("llmos_core.goal", "canonical"),
    "file_digest": ("llmos_core.files", "file_digest"),
    "goal_signature": ("llmos_core.goal", "signature"),
    "parse_trace": ("llmos_core.trace.markdown", "parse_trace"),
    "render_trace": ("llmos_core.trace.markdown", "render_trace"),
    "replay": ("llmos_core.trace.replay", "replay"),
    "trace_version": ("llmos_core.trace.markdown", "trace_version"),
    "values_for": ("llmos_core.trace.binding", "values_for"),
    "write_atomic": ("llmos_core.files", "write_atomic"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)


__all__ = [
    "AUTO",
    "Abstraction",
    "AgentSpec",
    "AnyEvent",
    "Bid",
    "Billing",
    "BudgetError",
    "Candidate",
    "DeniedError",
    "DivergedError",
    "Divergence",
    "Effect",
    "ErrorInfo",
    "Event",
    "ExitCode",
    "FileState",
    "Hold",
    "LLMOS",
    "LLMOSError",
    "Ledger",
    "LlmOutput",
    "Matcher",
    "MemoryBackend",
    "ModeChosen",
    "ModelProvider",
    "ModelReply",
    "ModelRequest",
    "ModelUsed",
    "Notice",
    "Offer",
    "Outcome",
    "Parameter",
    "PluginError",
    "ProducedFile",
    "Record",
    "Replayed",
    "Result",
    "Run",
    "RunFinished",
    "RunTimeoutError",
    "SettingsError",
    "Step",
    "StepResult",
    "StoredTrace",
    "Strategy",
    "Task",
    "Tool",
    "ToolCall",
    "ToolDenied",
    "ToolOutput",
    "ToolResult",
    "ToolStarted",
    "Trace",
    "TraceError",
    "TraceSaved",
    "TraceStore",
    "TreeState",
    "Usage",
    "UsageError",
    "UserInput",
    "Verdict",
    "Verification",
    "WorkspaceError",
    "__version__",
    "bind",
    "canonical_goal",
    "file_digest",
    "goal_signature",
    "hookimpl",
    "parse_trace",
    "render_trace",
    "replay",
    "trace_version",
    "values_for",
    "write_atomic",
]

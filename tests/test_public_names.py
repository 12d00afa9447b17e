"""The public names, as a list: a change here is a change for every plugin."""

from __future__ import annotations

import ast
from pathlib import Path

import llmos_core

NAMES = """
API_VERSION AUTO Abstraction AgentFinished AgentSpec AgentStarted AnyEvent ApprovalError Bid Billing BudgetError
Candidate Check DeniedError DivergedError Divergence Effect ErrorInfo Event ExitCode FileState Hold LLMOS LLMOSError
Ledger LlmDelta LlmOutput Matcher MemoryBackend ModeChosen ModelInfo ModelProvider ModelReply ModelRequest
ModelStalledError ModelUsed Note NoteBackend NoteStore Notice OWN Offer OnAsk OnEvent Outcome Parameter PastRun
PermissionMode PluginError ProducedFile Project Record Replayed Result Run RunFinished RunInterruptedError
RunTimeoutError Serve Settings SettingsError SettingsFile SettingsOf Step StepResult StoredTrace Strategy Task Tool
ToolApproved ToolCall ToolDenied ToolInfo ToolOutput ToolResult ToolStarted Trace TraceError TraceSaved TraceStore
TreeState Usage UsageError UsedPlugin UserInput Verdict Verification WorkspaceError __version__ bind canonical_goal
clock disputed exact_call file_digest goal_signature hookimpl is_sealed load_settings make_task of_run parse_trace
plugin_settings preflight render_trace replay same_constraints seal trace_version user_file values_for write_atomic
"""


def test_type_checkers_see_the_same_names() -> None:
    stub = Path(llmos_core.__file__).with_suffix(".pyi").read_text("utf-8")
    seen = [alias.asname for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted([*map(str, seen), "API_VERSION", "__version__"]) == sorted(llmos_core.__all__)


def test_the_public_names() -> None:
    assert sorted(llmos_core.__all__) == sorted(NAMES.split())
    for name in llmos_core.__all__:
        assert getattr(llmos_core, name) is not None

"""The kinds of extensions: which hooks, records and example the page of each shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"
HOOKS = "llmos_core/hookspecs.py"
SOURCES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (
        *sorted((ROOT / "llmos_core").glob("*.py")),
        ROOT / "llmos_core/host/settings.py",
        ROOT / "llmos_core/kernel/approvals.py",
    )
)
"""Where the things that a page shows are looked for."""


@dataclass(frozen=True)
class Page:
    """One kind of extension: what a plugin implements, an example, and what the two are given.

    ``lead`` is the first paragraph. ``hooks`` are functions of hookspecs.py. ``things`` are names found in SOURCES.
    ``modules`` are files of which every public name is shown. ``more`` are further files of the example.
    """

    name: str
    title: str
    lead: str
    hooks: Sequence[str] = ()
    things: Sequence[str] = ()
    modules: Sequence[str] = ()
    more: Sequence[str] = ()
    see: Sequence[str] = ()

    @property
    def example(self) -> Path:
        return EXAMPLES / f"{self.name}.py"


KINDS = (
    Page(
        name="tools",
        title="Tools",
        lead="What a model can do, and what a trace repeats. The Learner and the Follower run the same tool.",
        hooks=["llmos_tools"],
        things=["Tool", "Effect", "ToolResult"],
        see=["run", "settings", "guards"],
    ),
    Page(
        name="agents",
        title="Agents",
        lead="Whom the Learner may delegate to: a system prompt with a name, a description and tools.",
        hooks=["llmos_agents"],
        things=["AgentSpec"],
        more=["agents/reviewer.md"],
        see=["tools"],
    ),
    Page(
        name="memory_backends",
        title="Memory backends",
        lead="Where traces and notes are kept.",
        hooks=["llmos_memory_backends"],
        things=["MemoryBackend", "TraceStore", "StoredTrace", "NoteBackend", "NoteStore", "Note"],
        see=["matchers"],
    ),
    Page(
        name="strategies",
        title="Strategies",
        lead="Ways of running a task. They bid for it; the cheapest that is fit enough runs.",
        hooks=["llmos_strategies"],
        things=["Strategy", "Task", "Bid", "Candidate", "Result", "ErrorInfo"],
        see=["run", "native_tools", "matchers"],
    ),
    Page(
        name="matchers",
        title="Matchers",
        lead="They propose traces for a goal. The Follower decides which of them may be followed.",
        hooks=["llmos_matchers"],
        things=["Matcher", "Candidate", "StoredTrace"],
        see=["memory_backends", "strategies"],
    ),
    Page(
        name="models",
        title="Models",
        lead="Providers that answer requests of the Messages API: a service, a server of your own, a recording.",
        hooks=["llmos_models"],
        things=["ModelProvider", "ModelRequest", "ModelReply", "Billing"],
        see=["ledgers", "guards", "settings"],
    ),
    Page(
        name="native_tools",
        title="Native tools",
        lead="Names of tools that a strategy has outside the kernel, so that constraints may speak of them.",
        hooks=["llmos_native_tools"],
        see=["run", "strategies", "tools"],
    ),
    Page(
        name="ledgers",
        title="Ledgers",
        lead="They hold money before a model is asked, and book what it cost.",
        hooks=["llmos_ledgers"],
        things=["Ledger", "Hold", "Usage", "Billing"],
        see=["models"],
    ),
    Page(
        name="settings",
        title="Settings",
        lead="What users can set for a plugin, as a pydantic model.",
        hooks=["llmos_settings"],
        things=["SettingsOf", "OWN"],
        see=["tools", "models"],
    ),
    Page(
        name="checks",
        title="Checks",
        lead="What `llmos doctor` tells of a machine: whether what a plugin needs is there, and works.",
        hooks=["llmos_checks"],
        things=["Check"],
        see=["settings", "commands"],
    ),
    Page(
        name="guards",
        title="Guards",
        lead="They judge a tool call or a model request before it happens.",
        hooks=["llmos_pre_tool_use", "llmos_pre_model_request"],
        things=["Verdict", "ToolCall", "ModelRequest"],
        see=["run", "approvers", "observers", "local"],
    ),
    Page(
        name="approvers",
        title="Approvers",
        lead="They answer for people where the guards want a yes: a chat, a phone, a list of what was approved before.",
        hooks=["llmos_approve"],
        things=["ToolCall", "Verdict", "OnAsk", "exact_call", "ApprovalError"],
        see=["guards", "run", "commands"],
    ),
    Page(
        name="observers",
        title="Observers",
        lead="They see what happened, and change nothing.",
        hooks=["llmos_post_tool_use", "llmos_post_model_response", "llmos_event"],
        things=["ToolCall", "ToolResult", "ModelUsed"],
        modules=["llmos_core/events.py"],
        see=["run", "guards"],
    ),
    Page(
        name="transforms",
        title="Transforms",
        lead="They change a prompt before it is sent, or an outcome before it is told.",
        hooks=["llmos_user_prompt_submit", "llmos_stop"],
        things=["Outcome", "ErrorInfo"],
        see=["run", "observers"],
    ),
    Page(
        name="commands",
        title="Commands",
        lead="Commands of `llmos`, as entry points in the group `llmos.commands`. They are click commands.",
        modules=["llmos_core/commands.py"],
        see=["settings"],
    ),
    Page(
        name="local",
        title="Local plugins",
        lead="One file in the workspace's `plugins/` folder, without a package. It may implement any hook.",
        see=["guards", "observers", "transforms"],
    ),
)
"""Every kind of extension, in the order of the index. Each has an example of its name in docs/examples/."""

RUN = Page(
    name="run",
    title="The Run",
    lead="What a plugin does during a run, it does through the `Run` that its tools, strategies and hooks are given.",
    things=["Run", "ToolInfo", "ModelInfo", "Serve", "Task", "TreeState", "FileState"],
    see=["tools", "strategies", "guards"],
)
"""What plugins are given. It is no kind of extension, so it has no example."""

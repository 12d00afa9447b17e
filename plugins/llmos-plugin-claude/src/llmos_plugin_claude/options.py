"""How the CLI is started: nothing of the user's own set-up reaches it, and no credential."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread
from claude_agent_sdk import AgentDefinition, ClaudeAgentOptions

from llmos_core import AgentSpec, Notice, Run, UsageError
from llmos_plugin_claude.bridge import AGENT, PREFIX, SERVER, Bridge
from llmos_plugin_claude.settings import ClaudeSettings

MAX_MESSAGE = 64 << 20
"""The longest line of the CLI's output taken, in bytes: it must hold the input of any tool call."""

SYSTEM_PROMPT = """\
You work inside LLM OS: you reason, and the kernel runs your tools. You are given one goal; reach it, then say in a \
few words what you did and what came out.

Your tools are the kernel's. They work in the current directory, the only one they may write; name files by paths \
relative to it. What a tool prints is what you see: do not claim what you have not seen.

Your run is recorded, and the same goal is replayed later without you, tool call by tool call. So use commands that do \
the same every time: no dates, no random values, no process ids, no output whose order may change. Take as few steps \
as the goal needs, and check the result with a command that fails when it is wrong.\
"""

_PASSED_ON = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM"),
        *("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
        # The SDK sets this one itself, unless it is told otherwise.
        "CLAUDE_CODE_ENTRYPOINT",
    }
)


def build_options(
    run: Run,
    settings: ClaudeSettings,
    bridge: Bridge,
    environment: Mapping[str, str],
    stderr: Callable[[str], None],
) -> ClaudeAgentOptions:
    """The options of the SDK for one run."""
    task = run.task
    return ClaudeAgentOptions(
        tools=[AGENT] if run.agents else [],
        mcp_servers={SERVER: bridge.server()},
        allowed_tools=[f"mcp__{SERVER}", *([AGENT] if run.agents else [])],
        strict_mcp_config=True,
        setting_sources=[],
        hooks=bridge.hooks(),
        agents={name: agent_spec_to_definition(spec, run.tools) for name, spec in run.agents.items()},
        system_prompt=SYSTEM_PROMPT if settings.system_prompt is None else settings.system_prompt,
        verbatim_prompts=True,
        model=task.model or settings.model,
        max_turns=task.max_turns or settings.max_turns,
        cwd=run.workdir,
        env=dict(environment),
        stderr=stderr,
        forward_subagent_text=True,
        max_buffer_size=MAX_MESSAGE,
    )


def agent_spec_to_definition(spec: AgentSpec, tools: Mapping[str, object]) -> AgentDefinition:
    """An agent for the SDK. Its tools are the kernel's: those it names, else all; it can start no further agents."""
    named = tuple(tools) if spec.tools is None else spec.tools
    prompt = "\n".join([spec.system_prompt, *(f"- {constraint}" for constraint in spec.constraints)])
    return AgentDefinition(
        description=spec.description, prompt=prompt, tools=[f"{PREFIX}{name}" for name in named], model=spec.model
    )


def cli_environment(url: str, token: str, home: Path, parent: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables to set for the CLI.

    The SDK lets the CLI inherit ours, so all but a few harmless ones are emptied here.
    """
    emptied = {name: "" for name in parent if name not in _PASSED_ON and not name.startswith("LC_")}
    return emptied | {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": token,
        "ANTHROPIC_AUTH_TOKEN": "",
        "HOME": str(home / "home"),
        "CLAUDE_CONFIG_DIR": str(home / "config"),
        "CLAUDE_CODE_TMPDIR": str(home / "tmp"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "ENABLE_TOOL_SEARCH": "false",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        # No agents but those of the run.
        "CLAUDE_AGENT_SDK_DISABLE_BUILTIN_AGENTS": "1",
        "CLAUDE_CODE_FORK_SUBAGENT": "0",
    }


@asynccontextmanager
async def private_home(run: Run) -> AsyncIterator[Path]:
    """A directory for the CLI's own files, outside the run's working directory; removed at the end.

    Raises UsageError if the working directory holds the system's temporary files.
    """
    home = await to_thread.run_sync(_make_home, run.workdir)
    try:
        yield home
    finally:
        with anyio.CancelScope(shield=True):
            try:
                await to_thread.run_sync(shutil.rmtree, home)
            except OSError as error:
                run.emit(Notice(level="warning", text=f"The temporary directory {home} could not be removed: {error}"))


def _make_home(workdir: Path) -> Path:
    parent = Path(tempfile.gettempdir()).resolve()
    if parent.is_relative_to(workdir.resolve()):
        raise UsageError(
            "The working directory holds the system's temporary files.",
            f"{parent} lies in {workdir}, where the agent may write.",
            "Choose another --dir, or set TMPDIR to a directory elsewhere.",
        )
    home = Path(tempfile.mkdtemp(prefix="llmos-", dir=parent))
    for name in ("home", "config", "tmp"):
        (home / name).mkdir()
    return home

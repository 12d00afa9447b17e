"""How the CLI is started: nothing of the user's own set-up reaches it unasked, and no credential."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from anyio import to_thread
from claude_agent_sdk import AgentDefinition, ClaudeAgentOptions
from claude_agent_sdk.types import McpServerConfig, SystemPromptPreset, ThinkingConfig

from llmos_core import AgentSpec, Run, Task, UsageError
from llmos_plugin_claude.environment import bare_environment
from llmos_plugin_claude.extras import agents_of
from llmos_plugin_claude.prompt import SystemPrompt, system_prompt
from llmos_plugin_claude.sdk.bridge import AGENT, PREFIX, SERVER, Bridge
from llmos_plugin_claude.sdk.folders import Folders, assemble
from llmos_plugin_claude.sdk.native import SHARED, NativeTools, is_native
from llmos_plugin_claude.settings import ClaudeSettings, McpServer

MAX_MESSAGE = 64 << 20
"""The longest line of the CLI's output taken, in bytes: it must hold the input of any tool call."""

# Skills and plugins bring texts and tools. What they would execute past the gate, or change behind it, is off.
_SETTINGS = json.dumps({"disableAllHooks": True, "disableSkillShellExecution": True})
# What a task's variables may not touch: where the CLI's requests go, where its files lie, what code it loads.
_RESERVED = re.compile(
    r"(ANTHROPIC|CLAUDE|LLMOS|BUN|LD|DYLD|XDG|DISABLE)_.*|NODE_(OPTIONS|TLS_.*|EXTRA_.*)|.*_PROXY"
    r"|HOME|TMPDIR|IS_SANDBOX|API_TIMEOUT_MS|ENABLE_TOOL_SEARCH",
    re.IGNORECASE,
)


async def build_options(
    run: Run,
    settings: ClaudeSettings,
    bridge: Bridge,
    environment: Mapping[str, str],
    stderr: Callable[[str], None],
) -> ClaudeAgentOptions:
    """The options of the SDK for one run.

    Raises UsageError for what the task or the settings ask for and cannot have: a preset of the system prompt that is
    not known, a folder that is not there, a variable that would change how the CLI reaches its model.
    """
    # Both look at files.
    prompt, folders = await to_thread.run_sync(_read, run, settings)
    bridge.plugins = folders.with_agents
    task, natives, agents = run.task, NativeTools(settings), agents_of(run)
    delegating = [AGENT] if agents or folders.with_agents else []
    mode = task.permission_mode or settings.permission_mode
    servers: dict[str, McpServerConfig] = {name: _server(server) for name, server in settings.mcp_servers.items()}
    return ClaudeAgentOptions(
        tools=[*delegating, *natives.names],
        mcp_servers={**servers, SERVER: bridge.server()},
        allowed_tools=[f"mcp__{SERVER}", *delegating, *natives.let_through()],
        strict_mcp_config=True,
        setting_sources=[],
        settings=_SETTINGS,
        plugins=[{"type": "local", "path": str(path)} for path in folders.paths],
        skills=list(folders.skills) or None,
        hooks=bridge.hooks(),
        agents={name: agent_spec_to_definition(spec, run.tools) for name, spec in agents.items()},
        system_prompt=_as_option(prompt),
        verbatim_prompts=True,
        model=task.model or settings.model,
        fallback_model=settings.fallback_model,
        effort=settings.effort,
        thinking=_thinking(settings.thinking),
        max_turns=task.max_turns or settings.max_turns,
        permission_mode=mode,
        cwd=run.workdir,
        env={**environment, **(_variables(task) if natives or folders.paths else {}), **_sandboxed(mode)},
        stderr=stderr,
        forward_subagent_text=True,
        max_buffer_size=MAX_MESSAGE,
    )


def agent_spec_to_definition(spec: AgentSpec, tools: Collection[str] | None = None) -> AgentDefinition:
    """An agent for the SDK. Its tools are those it names, else all of the kernel; it can start no further agents.

    ``tools`` are the names of the kernel's; None stands for those that it usually has. A name that only the CLI has
    (``WebSearch``, ``mcp__server__tool``) is left as it is, every other one is taken for the kernel's.
    """
    if spec.tools is None:
        named = [f"mcp__{SERVER}"] if tools is None else [f"{PREFIX}{name}" for name in tools]
    else:
        kernel = SHARED if tools is None else tools
        named = [name if name not in kernel and is_native(name) else f"{PREFIX}{name}" for name in spec.tools]
    prompt = "\n".join([spec.system_prompt, *(f"- {constraint}" for constraint in spec.constraints)])
    return AgentDefinition(description=spec.description, prompt=prompt, tools=named, model=spec.model)


def cli_environment(url: str, token: str, home: Path, parent: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables to set for the CLI, which reaches its model through the gateway."""
    return bare_environment(parent) | {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": token,
        "ANTHROPIC_AUTH_TOKEN": "",
        "HOME": str(home / "home"),
        "CLAUDE_CONFIG_DIR": str(home / "config"),
        "CLAUDE_CODE_TMPDIR": str(home / "tmp"),
    }


def _read(run: Run, settings: ClaudeSettings) -> tuple[SystemPrompt, Folders]:
    return system_prompt(run, settings), assemble(settings, run)


def _server(server: McpServer) -> McpServerConfig:
    if server.url is None:
        assert server.command is not None
        return {"type": "stdio", "command": server.command, "args": list(server.args), "env": server.env}
    if server.type == "sse":
        return {"type": "sse", "url": server.url, "headers": server.headers}
    return {"type": "http", "url": server.url, "headers": server.headers}


def _as_option(prompt: SystemPrompt) -> str | SystemPromptPreset:
    if prompt.preset is None:
        return prompt.text
    return SystemPromptPreset(type="preset", preset="claude_code", append=prompt.text)


def _thinking(wanted: str | int | None) -> ThinkingConfig | None:
    if isinstance(wanted, int):
        return {"type": "enabled", "budget_tokens": wanted}
    if wanted == "disabled":
        return {"type": "disabled"}
    return {"type": "adaptive"} if wanted else None


def _variables(task: Task) -> Mapping[str, str]:
    """The task's variables, for what the CLI itself executes."""
    for name in task.env:
        if _RESERVED.fullmatch(name):
            raise UsageError(
                f"The variable {name} cannot be given to a run with tools of the CLI's own.",
                "The CLI would take it for itself: such variables say how it reaches its model and what it loads.",
                "Give the value another name, or leave native_tools, skills, claude_plugins and mcp_servers out.",
            )
    return task.env


def _sandboxed(mode: str | None) -> dict[str, str]:
    """The CLI refuses to bypass permissions as root, unless it is told that it is contained: the gate holds here."""
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return {"IS_SANDBOX": "1"} if mode == "bypassPermissions" and as_root else {}

"""The variables of the CLI: a few of the user's, none that could be a secret, and those that keep it quiet."""

from __future__ import annotations

from collections.abc import Mapping

_PASSED_ON = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM"),
        *("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
        # The SDK sets this one itself, unless it is told otherwise.
        "CLAUDE_CODE_ENTRYPOINT",
    }
)
_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "ENABLE_TOOL_SEARCH": "false",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    # No agents but those of the run.
    "CLAUDE_AGENT_SDK_DISABLE_BUILTIN_AGENTS": "1",
    "CLAUDE_CODE_FORK_SUBAGENT": "0",
}


def bare_environment(parent: Mapping[str, str], *also: str) -> dict[str, str]:
    """The variables to set for a CLI: it inherits ours, so all but a few harmless ones, and ``also``, are emptied."""
    kept = _PASSED_ON | set(also)
    return {name: "" for name in parent if name not in kept and not name.startswith("LC_")} | _QUIET

"""What is made of the ends of a session."""

from __future__ import annotations

from claude_agent_sdk import CLIConnectionError, CLINotFoundError

from llmos_plugin_claude.session import _lost


def test_what_the_cli_wrote_is_told_without_the_token() -> None:
    error = _lost(CLIConnectionError("no pipe"), ["warming up", "key 0123 refused"], "0123")
    assert (error.what, error.why) == ("The Claude Code CLI failed.", "no pipe | warming up | key *** refused")
    missing = _lost(CLINotFoundError("not at /x"), [], "0123")
    assert missing.what == "The Claude Code CLI was not found."
    assert "claude-agent-sdk" in missing.fix

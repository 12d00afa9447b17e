"""What the end of a session means: the model's answer, or an error that a person can act on."""

from __future__ import annotations

from collections.abc import Iterable

from claude_agent_sdk import ClaudeSDKError, CLINotFoundError, ResultMessage

from llmos_core import LLMOSError
from llmos_plugin_claude.models.http_errors import LATER, what_and_fix

_DOCTOR = "Try again, or look with: llmos doctor"


def answer_of(result: ResultMessage, failure: str, max_turns: int | None) -> str:
    """The text of a result, or the error it stands for: ``is_error`` counts, an API failure is a ``success`` too.

    ``failure`` is what the model's side said last, if that was an error.
    """
    if not result.is_error and result.result and result.result.strip():
        return result.result
    if not result.is_error:
        raise LLMOSError("The model gave no answer.", "Its last message holds no text.", LATER)
    if result.subtype == "error_max_turns":
        raise LLMOSError(
            f"The model did not finish within {max_turns} turns.",
            "That many were allowed.",
            "Raise --max-turns, or ask for less.",
        )
    told = failure or result.result or "; ".join(result.errors or ()) or result.terminal_reason or result.subtype
    status = result.api_error_status
    if status is not None:
        what, fix = what_and_fix(status)
        raise LLMOSError(what, _line(told), fix)
    if result.terminal_reason == "api_error":
        raise LLMOSError("The model's reply could not be used.", _line(told), LATER)
    raise LLMOSError("The Claude Code CLI ended the run with an error.", _line(told), _DOCTOR)


def lost(error: Exception, stderr: Iterable[str], secrets: Iterable[str]) -> LLMOSError:
    """What to say when the CLI is gone: the SDK's word, and the last that the CLI wrote."""
    if isinstance(error, CLINotFoundError):
        fix = "Reinstall it: pip install --force-reinstall claude-agent-sdk"
        return LLMOSError("The Claude Code CLI was not found.", _line(str(error)), fix)
    why = " | ".join([str(error), *stderr])
    for secret in secrets:
        why = why.replace(secret, "***")
    return LLMOSError("The Claude Code CLI failed.", _line(why), _DOCTOR)


def is_of_sdk(error: Exception) -> bool:
    """Whether the SDK raised it on purpose; it raises bare exceptions, too."""
    return isinstance(error, ClaudeSDKError) or type(error) is Exception


def silent(limit_s: float) -> LLMOSError:
    """The CLI hangs."""
    return LLMOSError(
        "The Claude Code CLI hung.",
        f"It did nothing for {limit_s:g} s, and waited for nothing.",
        "Try again; plugins.claude.cli_silence_s says how long it may be silent.",
    )


def _line(text: str) -> str:
    return " ".join(text.split())

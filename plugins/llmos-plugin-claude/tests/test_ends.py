"""What is made of the ends of a session."""

from __future__ import annotations

from typing import Any

import pytest
from claude_agent_sdk import CLIConnectionError, CLINotFoundError, ResultMessage

from llmos_core import LLMOSError
from llmos_plugin_claude.sdk.ends import answer_of, lost


def result(**fields: Any) -> ResultMessage:
    ground: dict[str, Any] = {
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": "s",
    }
    return ResultMessage(**{**ground, **fields})


def error_of(failure: str = "", max_turns: int = 9, **fields: Any) -> LLMOSError:
    with pytest.raises(LLMOSError) as caught:
        answer_of(result(is_error=True, **fields), failure, max_turns)
    assert caught.value.what
    assert caught.value.why
    assert caught.value.fix
    return caught.value


def test_what_the_cli_wrote_is_told_without_the_token() -> None:
    error = lost(CLIConnectionError("no pipe"), ["warming up", "key 0123 refused"], ["0123"])
    assert (error.what, error.why) == ("The Claude Code CLI failed.", "no pipe | warming up | key *** refused")
    missing = lost(CLINotFoundError("not at /x"), [], ["0123"])
    assert missing.what == "The Claude Code CLI was not found."
    assert "claude-agent-sdk" in missing.fix


def test_an_answer_is_the_text() -> None:
    assert answer_of(result(result="Done."), "old failure", 1) == "Done."


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_no_text_is_no_answer(text: str | None) -> None:
    with pytest.raises(LLMOSError, match="gave no answer"):
        answer_of(result(result=text), "", 1)


def test_a_success_with_an_error_is_an_error() -> None:
    error = error_of("Overloaded", api_error_status=529, terminal_reason="api_error", result="API Error: 529")
    assert (error.what, error.why) == ("The model failed to answer (HTTP 529).", "Overloaded")


def test_of_a_failure_the_upstreams_word_goes_before_the_clis() -> None:
    assert error_of(result="API Error: 400\n bad", api_error_status=400).why == "API Error: 400 bad"
    assert error_of(terminal_reason="api_error", result="garbled").what == "The model's reply could not be used."
    assert error_of(errors=["one", "two"], subtype="error_during_execution").why == "one; two"
    assert error_of(subtype="error_during_execution").why == "error_during_execution"


def test_too_many_turns_are_told_with_their_number() -> None:
    assert error_of(subtype="error_max_turns", max_turns=3).what == "The model did not finish within 3 turns."

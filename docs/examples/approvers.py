"""An approver that lets looking around pass, and asks a person elsewhere about the rest.

Who has nothing to say answers None, and the next is asked: plugins first, then ``on_ask`` of the program, or the
terminal. Only True and False are answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llmos_core import Run, ToolCall, Verdict, hookimpl

LOOKING = ("git status", "git log")


async def nobody(question: str) -> bool | None:
    return None


ask_in_chat: Callable[[str], Awaitable[bool | None]] = nobody
"""What sends a question to a person and waits for the answer; put your own here."""


@hookimpl
async def llmos_approve(call: ToolCall, verdict: Verdict, run: Run) -> bool | None:
    if call.input.get("command") in LOOKING:
        return True
    return await ask_in_chat(f"{run.task.goal}: may it call {call.tool} {call.input}? {verdict.reason}")

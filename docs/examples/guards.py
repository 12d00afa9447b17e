"""Two guards: one for tool calls, one for model requests.

A guard that has nothing to say answers None. ``Verdict.deny`` forbids, ``Verdict.ask`` wants a person's yes. The
``rule`` is a short name by which users find what decided.
"""

from __future__ import annotations

from llmos_core import ModelRequest, ToolCall, Verdict, hookimpl

MODELS = ("claude-haiku", "claude-sonnet")


@hookimpl
async def llmos_pre_tool_use(call: ToolCall) -> Verdict | None:
    command = str(call.input.get("command", "")) if call.tool == "Bash" else ""
    if "git push" in command:
        return Verdict.deny("Nothing is pushed from here.", rule="example.no-push")
    return None


@hookimpl
async def llmos_pre_model_request(request: ModelRequest) -> Verdict | None:
    if not request.model.startswith(MODELS):
        return Verdict.deny(f"{request.model} is too dear.", rule="example.cheap-models")
    return None

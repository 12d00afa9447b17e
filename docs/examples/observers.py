"""Observers that count: tool calls by tool, tokens by model, and warnings.

Observers change nothing, and nothing waits for their answer. The counts of one run lie in ``run.state``, under a name
of our own; what outlives the run goes to a file in ``run.files``.
"""

from __future__ import annotations

from collections import Counter

from llmos_core import Event, ModelUsed, Notice, Run, ToolCall, ToolResult, hookimpl

WARNINGS: list[str] = []


def counts(run: Run) -> Counter[str]:
    counter: Counter[str] = run.state.setdefault("counts", Counter())
    return counter


@hookimpl
async def llmos_post_tool_use(call: ToolCall, result: ToolResult, run: Run) -> None:
    counts(run)[f"{call.tool} {'failed' if result.is_error else 'done'}"] += 1


@hookimpl
async def llmos_post_model_response(response: ModelUsed, run: Run) -> None:
    counts(run)[f"{response.model} tokens"] += response.usage.input_tokens + response.usage.output_tokens


@hookimpl
async def llmos_event(event: Event) -> None:
    if isinstance(event, Notice) and event.level == "warning":
        WARNINGS.append(event.text)

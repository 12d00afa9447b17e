"""How the kernel calls run-time hooks: guards and approvers fail closed, observers fail soft, transforms form a chain.

A hook may be async or blocking; a blocking one runs in a thread, so that either can be timed out.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from llmos_core.contracts import HookFunction
from llmos_core.errors import describe
from llmos_core.records import ToolCall, Verdict

HookTable = Mapping[str, Sequence[HookFunction]]
"""The implementations of every run-time hook, in calling order."""

T = TypeVar("T")

_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
_ALLOW = Verdict.allow()


async def _invoke(hook: HookFunction, arguments: Mapping[str, Any], timeout_s: float) -> Any:
    given = {name: arguments[name] for name in hook.arguments}
    # What fail_after does, at half its cost: this runs several times for every tool call.
    deadline = anyio.current_time() + timeout_s
    with anyio.CancelScope(deadline=deadline):
        if hook.is_async:
            answer = await hook.function(**given)
        else:
            answer = await anyio.to_thread.run_sync(partial(hook.function, **given), abandon_on_cancel=True)
            answer = await answer if inspect.isawaitable(answer) else answer
        # A hook that blocked the loop, or caught its cancellation, is late all the same.
        if anyio.current_time() <= deadline:
            return answer
    raise TimeoutError(f"no answer within {timeout_s:g} s")


def is_fault(error: BaseException) -> bool:
    """Whether what the code of a plugin raised is its own fault, also a cancellation that nobody asked for.

    That would end whatever task called it. Ctrl-C, and a cancellation of this task, are none.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return not isinstance(error, (KeyboardInterrupt, GeneratorExit))


async def judge(hooks: Sequence[HookFunction], arguments: Mapping[str, Any], timeout_s: float) -> Verdict:
    """The strictest verdict of all guards. A guard that raises, times out or answers nonsense denies."""
    strictest = _ALLOW
    for hook in hooks:
        try:
            answer = await _invoke(hook, arguments, timeout_s)
        except BaseException as error:  # a guard that fails in any way denies
            if not is_fault(error):
                raise
            answer = Verdict.deny(f"the guard of {hook.plugin} failed ({describe(error)})", rule="guard-failed")
        if answer is None:
            continue
        if not isinstance(answer, Verdict) or answer.decision not in tuple(_STRICTNESS):
            kind = type(answer).__name__
            answer = Verdict.deny(f"the guard of {hook.plugin} answered {kind}, not a Verdict", rule="guard-failed")
        if _rank(answer) > _rank(strictest):
            strictest = answer
    return strictest


def _rank(verdict: Verdict) -> tuple[int, bool]:
    """The strictest first; of two, the one that names its rule."""
    return _STRICTNESS[verdict.decision], bool(verdict.rule)


async def first_answer(
    hooks: Sequence[HookFunction], call: ToolCall, arguments: Mapping[str, Any], report: Callable[[str], None]
) -> tuple[bool, str] | None:
    """The first yes or no of the approvers, and whose it is. One that fails or answers anything else is reported."""
    for hook in hooks:
        answer = await _heard(hook, {**arguments, "call": call.model_copy(deep=True)}, math.inf, "An approver", report)
        if isinstance(answer, bool):
            return answer, hook.plugin
        if answer is not None:
            report(f"An approver of {hook.plugin} answered {type(answer).__name__}, not True, False or None.")
    return None


async def observe(
    hooks: Sequence[HookFunction], arguments: Mapping[str, Any], timeout_s: float, report: Callable[[str], None]
) -> None:
    """Call all observers; one that fails is reported and harms nothing."""
    for hook in hooks:
        await _heard(hook, arguments, timeout_s, "An observer", report)


async def transform(
    hooks: Sequence[HookFunction],
    name: str,
    value: T,
    arguments: Mapping[str, Any],
    timeout_s: float,
    report: Callable[[str], None],
) -> T:
    """Pass a value through a chain; a link that fails or answers another type is reported and left out."""
    for hook in hooks:
        answer = await _heard(hook, {**arguments, name: value}, timeout_s, "A hook", report)
        if isinstance(answer, type(value)):
            value = answer
        elif answer is not None:
            report(f"A hook of {hook.plugin} answered {type(answer).__name__}, not {type(value).__name__}.")
    return value


async def _heard(
    hook: HookFunction, arguments: Mapping[str, Any], timeout_s: float, kind: str, report: Callable[[str], None]
) -> Any:
    """What a hook answers; None where it fails in any way, which is reported."""
    try:
        return await _invoke(hook, arguments, timeout_s)
    except BaseException as error:  # it is reported, and harms nothing
        if not is_fault(error):
            raise
        report(f"{kind} of {hook.plugin} failed ({describe(error)}).")
        return None

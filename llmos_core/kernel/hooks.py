"""How the kernel calls run-time hooks: guards fail closed, observers fail soft, transforms form a chain.

A hook may be async or blocking; a blocking one runs in a thread, so that either can be timed out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from llmos_core.contracts import HookFunction
from llmos_core.errors import describe
from llmos_core.records import Verdict

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


async def judge(hooks: Sequence[HookFunction], arguments: Mapping[str, Any], timeout_s: float) -> Verdict:
    """The strictest verdict of all guards. A guard that raises, times out or answers nonsense denies."""
    strictest = _ALLOW
    for hook in hooks:
        try:
            answer = await _invoke(hook, arguments, timeout_s)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a guard that fails in any way denies
            answer = Verdict.deny(f"the guard of {hook.plugin} failed ({describe(error)})", rule="guard-failed")
        if answer is None:
            continue
        if not isinstance(answer, Verdict):
            kind = type(answer).__name__
            answer = Verdict.deny(f"the guard of {hook.plugin} answered {kind}, not a Verdict", rule="guard-failed")
        if _STRICTNESS.get(answer.decision, 2) > _STRICTNESS[strictest.decision]:
            strictest = answer
    return strictest


async def observe(
    hooks: Sequence[HookFunction],
    arguments: Mapping[str, Any],
    timeout_s: float,
    report: Callable[[str], None],
) -> None:
    """Call all observers; one that fails is reported and harms nothing."""
    for hook in hooks:
        try:
            await _invoke(hook, arguments, timeout_s)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - observers fail soft, and are reported
            report(f"An observer of {hook.plugin} failed ({describe(error)}).")


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
        try:
            answer = await _invoke(hook, {**arguments, name: value}, timeout_s)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a broken link is reported, the value stays
            report(f"A hook of {hook.plugin} failed ({describe(error)}).")
            continue
        if isinstance(answer, type(value)):
            value = answer
        elif answer is not None:
            report(f"A hook of {hook.plugin} answered {type(answer).__name__}, not {type(value).__name__}.")
    return value

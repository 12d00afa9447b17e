"""The second net: a CLI that does nothing at all is noticed. The first is the model door's, for a silent model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, cast

import anyio

from llmos_core import ModelReply, ModelRequest, Run, ToolCall, ToolResult, Verdict

LONGEST_NATIVE_S = 600.0
"""A call that the CLI executes itself ends by then: so long may its Bash take."""


class Activity:
    """What the CLI of a run is seen to do: its messages, and what it has the kernel do."""

    def __init__(self) -> None:
        self._last = anyio.current_time()
        self._under_way = 0
        self.native: set[str] = set()
        """The calls that the CLI executes itself."""

    def seen(self, quiet_s: float = 0.0) -> None:
        """Something was heard; for so many seconds more nothing need be (a pause that was announced)."""
        self._last = max(self._last, anyio.current_time() + quiet_s)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While the context is open, the CLI waits for us."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self.seen()

    def watched(self, run: Run) -> Run:
        """The same run; what passes its doors is seen here."""
        return cast("Run", _WatchedRun(run, self))

    async def silence(self, limit_s: float) -> None:
        """Returns when nothing has been heard for so long, and the CLI waits for nothing of ours."""
        while True:
            left = self._last + limit_s - anyio.current_time()
            if left <= 0 and not self._under_way and (not self.native or left <= -LONGEST_NATIVE_S):
                return
            await anyio.sleep(left if left > 0 else limit_s)


class _WatchedRun:
    """A run whose doors are watched."""

    def __init__(self, run: Run, activity: Activity) -> None:
        self._run = run
        self._activity = activity

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    async def call(self, call: ToolCall) -> ToolResult:
        with self._activity.busy():
            return await self._run.call(call)

    async def judge(self, call: ToolCall) -> Verdict:
        with self._activity.busy():
            return await self._run.judge(call)

    async def begin(self, call: ToolCall) -> Verdict:
        with self._activity.busy():
            verdict = await self._run.begin(call)
        if verdict.decision == "allow":
            self._activity.native.add(call.id)
        return verdict

    async def end(self, call_id: str, result: ToolResult) -> None:
        self._activity.native.discard(call_id)
        with self._activity.busy():
            await self._run.end(call_id, result)

    def ask(self, request: ModelRequest) -> AbstractAsyncContextManager[ModelReply]:
        return self._ask(request)

    @asynccontextmanager
    async def _ask(self, request: ModelRequest) -> AsyncIterator[ModelReply]:
        with self._activity.busy():
            async with self._run.ask(request) as reply:
                yield reply

"""What runs beside a run: started on first use, each in a task of its own, ended with the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup, TaskStatus

from llmos_core.errors import LLMOSError
from llmos_core.kernel.hooks import describe
from llmos_core.run import Serve


class Services:
    """The services of one run. Use it as an async context manager: they end with it."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._group: TaskGroup | None = None
        self._values: dict[str, Any] = {}
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def __aenter__(self) -> Self:
        self._group = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._group is not None
        group, self._group = self._group, None
        group.cancel_scope.cancel()
        # The body's own error is not passed on to the group, which would wrap it.
        await group.__aexit__(None, None, None)

    async def get(self, key: str, serve: Serve) -> Any:
        """The value of a service, which is started if it does not run."""
        if self._group is None:
            raise LLMOSError(f"The service {key} cannot be started.", "The run has not begun, or is over.")
        async with self._locks[key]:
            if key not in self._values:
                self._values[key] = await self._group.start(self._serve, key, serve)
            return self._values[key]

    async def _serve(self, key: str, serve: Serve, *, task_status: TaskStatus[Any]) -> None:
        told = _Told(task_status)
        try:
            await serve(task_status=told)
        except Exception as error:
            if not told.done:
                raise
            self._report(f"The service {key} failed ({describe(error)}).")
        finally:
            self._values.pop(key, None)


class _Told:
    """A task status that remembers whether it was used."""

    def __init__(self, status: TaskStatus[Any]) -> None:
        self._status = status
        self.done = False

    def started(self, value: Any = None) -> None:
        self._status.started(value)
        self.done = True

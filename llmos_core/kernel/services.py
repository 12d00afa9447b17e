"""What runs beside a run: started on first use, each in a task of its own, ended with the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup, TaskStatus

from llmos_core.errors import LLMOSError, describe
from llmos_core.run import Serve

_starting: ContextVar[tuple[str, ...]] = ContextVar("_starting", default=())
"""The services within whose start this code runs."""


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
        if key in _starting.get():
            raise LLMOSError(f"The service {key} waits for itself.", " -> ".join((*_starting.get(), key)))
        async with self._locks[key]:
            if key in self._values:
                return self._values[key]
            return await self._group.start(self._serve, key, serve)

    async def _serve(self, key: str, serve: Serve, *, task_status: TaskStatus[Any]) -> None:
        _starting.set((*_starting.get(), key))
        told = _Told(self._values, key, task_status)
        try:
            await serve(task_status=told)
        except (Exception, SystemExit) as error:
            if not told.done:
                raise LLMOSError(f"The service {key} could not start.", describe(error)) from error
            self._report(f"The service {key} failed ({describe(error)}).")
        finally:
            self._values.pop(key, None)


class _Told:
    """A task status that keeps what was handed out, at once: the service may be over before anybody else acts."""

    def __init__(self, values: dict[str, Any], key: str, status: TaskStatus[Any]) -> None:
        self._values = values
        self._key = key
        self._status = status
        self.done = False

    def started(self, value: Any = None) -> None:
        self._status.started(value)
        self._values[self._key] = value
        self.done = True

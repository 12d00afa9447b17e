"""What all conformance classes share: a home of their own, a limit in time, and the rule on overriding a check."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from llmos_testkit.isolation import isolate

OURS = "llmos_testkit.conformance."
META = "test_no_check_is_overridden_without_a_reason"


class Conformance:
    """Base of the conformance classes.

    ``plugins`` are the plugins, by name, that are loaded beside the thing under test: one that reads settings names
    the module that contributes them. ``limit_s`` is the time in seconds that one check may take.
    """

    pytestmark = pytest.mark.anyio

    plugins: ClassVar[Mapping[str, object]] = {}
    limit_s: ClassVar[float] = 60.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if _is_standard(cls):
            for name, check in _checks(cls):
                if inspect.iscoroutinefunction(check):
                    setattr(cls, name, _bounded(check))
        elif META in vars(cls):
            raise TypeError(f"{cls.__name__} overrides {META}: no reason allows that.")

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An empty home directory: no settings, login or key of this machine's user has a part in a check."""
        home = tmp_path / "home"
        home.mkdir()
        isolate(home, monkeypatch)
        return home

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """An empty directory for a check's own files."""
        place = tmp_path / "place"
        place.mkdir()
        return place

    def test_no_check_is_overridden_without_a_reason(self, request: pytest.FixtureRequest) -> None:
        strict = bool(request.config.getini("xfail_strict"))
        faults = list(_unreasoned(type(self), strict=strict))
        assert not faults, f"{'; '.join(faults)}. Mark it with @pytest.mark.xfail(reason=..., strict=True)."


def _is_standard(cls: type) -> bool:
    return cls.__module__.startswith(OURS)


def _checks(cls: type) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(cls).items() if name.startswith("test_")]


def _bounded(check: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """A check that fails where what it waits for never comes."""

    @functools.wraps(check)
    async def bounded(self: Conformance, *args: Any, **kwargs: Any) -> None:
        with anyio.fail_after(self.limit_s):
            await check(self, *args, **kwargs)

    return bounded


def _unreasoned(cls: type, *, strict: bool) -> Any:
    """What a class changes of the standard checks without saying why."""
    standard = {name for base in cls.__mro__ if _is_standard(base) for name, _ in _checks(base)}
    for base in cls.__mro__:
        if _is_standard(base):
            continue
        for mark in _marks(vars(base).get("pytestmark", ())):
            if mark.name in {"skip", "skipif", "xfail"}:
                yield f"{base.__name__} has the mark {mark.name} as a whole"
        for name, value in _checks(base):
            if name in standard and (fault := _fault(value, strict=strict)):
                yield f"{base.__name__}.{name} {fault}"


def _fault(check: Any, *, strict: bool) -> str | None:
    if not callable(check):
        return "is removed"
    marks = _marks(getattr(check, "pytestmark", ()))
    if any(mark.name in {"skip", "skipif"} for mark in marks):
        return "is skipped"
    xfails = [mark for mark in marks if mark.name == "xfail"]
    if not xfails:
        return "is overridden without an xfail"
    for mark in xfails:
        if not str(mark.kwargs.get("reason") or "").strip():
            return "is overridden without a reason"
        if not mark.kwargs.get("strict", strict):
            return "has an xfail that is not strict"
        if not mark.kwargs.get("run", True):
            return "has an xfail that does not run it"
    return None


def _marks(marks: Any) -> list[pytest.Mark]:
    given: list[Any] = list(marks) if isinstance(marks, list | tuple) else [marks]
    return [getattr(mark, "mark", mark) for mark in given]


class Watched:
    """An awaitable that notes whether it was cancelled: one that ends all the same swallowed its cancellation."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self._work = work
        self.cancelled = False
        self.swallowed = False

    def __await__(self) -> Any:
        steps = self._work.__await__()
        advance: Callable[[], Any] = functools.partial(next, steps)
        while True:
            try:
                waiting = advance()
            except StopIteration as end:
                self.swallowed = self.cancelled
                return end.value
            try:
                sent = yield waiting
            except BaseException as error:  # noqa: BLE001 - passed on to where it belongs
                self.cancelled = self.cancelled or isinstance(error, anyio.get_cancelled_exc_class())
                advance = functools.partial(steps.throw, error)
            else:
                advance = functools.partial(_send, steps, sent)


def _send(steps: Any, value: Any) -> Any:
    return next(steps) if value is None else steps.send(value)


async def swallows_cancellation(work: Callable[[], Awaitable[Any]]) -> bool:
    """Whether work that is cancelled at its first wait ends as if nothing had been."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        watched = Watched(work())
        try:
            await watched
        except (Exception, SystemExit):  # noqa: BLE001 - an error in place of the cancellation
            return watched.cancelled
    return watched.swallowed

"""A file system that fails, or a process that dies, at the n-th change."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_CHANGES = (
    "chmod",
    "fchmod",
    "fchown",
    "link",
    "mkdir",
    "rename",
    "replace",
    "rmdir",
    "symlink",
    "unlink",
    "utime",
)


class Killed(BaseException):
    """The process is dead: nothing that it would do afterwards happens."""


class Faults:
    """Stands before the functions of ``os`` that change something."""

    def __init__(self) -> None:
        self.count = 0
        self._at: int | None = None
        self._stays = False
        self._error: Callable[[], BaseException] = Killed

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in _CHANGES:
            monkeypatch.setattr(os, name, self._guarded(getattr(os, name)))
        monkeypatch.setattr(os, "fsync", self._guarded(lambda file: None))  # the disk itself does not fail here
        real = os.open

        def open_(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            if flags & os.O_CREAT:
                self._step()
            return real(path, flags, *arguments, **named)

        monkeypatch.setattr(os, "open", open_)

    def _guarded(self, function: Any) -> Any:
        def guarded(*arguments: Any, **named: Any) -> Any:
            self._step()
            return function(*arguments, **named)

        return guarded

    def _step(self) -> None:
        self.count += 1
        if self._at is not None and (self.count == self._at or (self._stays and self.count > self._at)):
            raise self._error()

    @contextmanager
    def killing(self, at: int) -> Iterator[None]:
        """The process dies before its change number ``at``. Whether it lived that long shows in ``count``."""
        with self._set(at, Killed, stays=True):
            try:
                yield
            except Killed:
                return

    @contextmanager
    def failing(self, at: int, *, stays: bool = False) -> Iterator[None]:
        """Change number ``at`` fails; with ``stays``, all after it too."""
        with self._set(at, lambda: OSError(errno.EIO, os.strerror(errno.EIO)), stays=stays):
            yield

    @contextmanager
    def interrupting(self, at: int) -> Iterator[None]:
        """The user presses Ctrl-C at change number ``at``."""
        with self._set(at, KeyboardInterrupt, stays=False):
            yield

    @contextmanager
    def _set(self, at: int, error: Callable[[], BaseException], *, stays: bool) -> Iterator[None]:
        self.count, self._at, self._error, self._stays = 0, at, error, stays
        try:
            yield
        finally:
            self._at = None

"""Errors a person can act on: what happened, why, and what to do about it.

Every error that LLM OS raises on purpose is an :class:`LLMOSError`. Its class fixes the exit code of the
command line, so a script can tell a refused budget from a diverged replay.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the ``llmos`` command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BUDGET = 3
    DENIED = 4
    DIVERGED = 5
    APPROVAL = 6
    TIMEOUT = 124
    INTERRUPTED = 130


def describe(error: BaseException) -> str:
    """An exception in one line, whatever its own text does: that of a plugin's error is the plugin's code."""
    try:
        text = " ".join(str(error).encode("utf-8", "replace").decode().split())
    except (Exception, SystemExit):  # noqa: BLE001 - it has no text then
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class LLMOSError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: one line, what happened.
        why: one line, the cause (may be empty).
        fix: one line, what to do now (may be empty).

    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.fix) if line)


class UsageError(LLMOSError):
    """The request itself cannot be served: bad goal, unknown mode, bad settings."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """A settings file or variable is broken."""


class WorkspaceError(LLMOSError):
    """The workspace cannot be used: it is a file, is not writable, or a name would leave it."""

    exit_code = ExitCode.USAGE


class PluginError(LLMOSError):
    """A plugin could not be loaded or contributed something unusable."""


class TraceError(LLMOSError):
    """A trace cannot be written, read or bound."""


class BudgetError(LLMOSError):
    """A model request does not fit the money that is left."""

    exit_code = ExitCode.BUDGET


class ModelStalledError(LLMOSError):
    """A model fell silent: it did not begin to answer, or stopped in the middle of a reply."""


class DeniedError(LLMOSError):
    """A guard refused a tool call or a model request."""

    exit_code = ExitCode.DENIED


class ApprovalError(DeniedError):
    """A call needed approval, and nobody answered."""

    exit_code = ExitCode.APPROVAL


class DivergedError(LLMOSError):
    """A replay met a world other than the recorded one and stopped."""

    exit_code = ExitCode.DIVERGED


class RunInterruptedError(LLMOSError):
    """A run was stopped by its user."""

    exit_code = ExitCode.INTERRUPTED


class RunTimeoutError(LLMOSError):
    """A run passed its deadline."""

    exit_code = ExitCode.TIMEOUT

"""Remembered answers: a file each, written whole or not at all, and used up by exactly one run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import JsonValue, ValidationError

from llmos_core import Record, ToolCall, is_sealed, seal, write_atomic

Scope = Literal["once", "project", "pattern"]
"""What an answer is for: one call of the next run of a goal, every such call, or every call that fits a pattern."""

MAIN = ("command", "file_path", "path", "url")
"""The arguments that patterns look at; of a call without one of these, the first that is a text."""

_PATHS = ("file_path", "path")
# What a wildcard stands for: nothing that could begin another command, or a line that nobody saw.
_ANY = {"command": r"[^;&|`$()<>\x00-\x1f\x7f]"}
_ANY_ELSE = r"[^\x00-\x1f\x7f]"
_OLD_DRAFT_S = 3600.0


class Attempt(Record):
    """A run by what it is for. ``directory`` is its working directory, empty for the project's own.

    ``continues`` is the run whose conversation it goes on with: a goal like "Go on" means nothing without.
    """

    project: str
    directory: str
    goal: str
    continues: str | None = None


class Asked(Attempt):
    """A call as it is asked about, and by which run. ``exact`` is the call as one text."""

    run_id: str
    call: ToolCall
    exact: str


class Answer(Attempt):
    """What a person said to a call of the run ``run_id``, which was that attempt."""

    scope: Scope
    allowed: bool
    run_id: str
    call_id: str
    tool: str
    input: dict[str, JsonValue]
    exact: str
    pattern: str | None = None
    at: datetime
    seal: str = ""

    def sealed(self, workspace: Path) -> Self:
        """The same answer with the seal that only its user can make. Raises LLMOSError where none can be made."""
        return self.model_copy(update={"seal": seal(self._covered(workspace))})

    def is_sealed(self, workspace: Path) -> bool:
        """Whether this user gave exactly this answer, in this workspace."""
        return is_sealed(self._covered(workspace), self.seal)

    def _covered(self, workspace: Path) -> bytes:
        return b"llmos approval\n%s\n%s" % (os.fsencode(workspace), self.model_dump_json(exclude={"seal"}).encode())

    @property
    def id(self) -> str:
        """The same for the same question, so that a later answer takes the place of an earlier one."""
        question = [self.scope, self.project, self.directory, self.tool]
        if self.scope == "pattern":
            question += [self.pattern or ""]
        else:
            question += [self.exact]
        if self.scope == "once":
            question += [self.run_id, self.call_id]
        return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]

    def fits(self, asked: Asked) -> bool:
        """Whether it answers this question. Changed arguments are another question."""
        if (asked.project, asked.directory, asked.call.tool) != (self.project, self.directory, self.tool):
            return False
        if self.scope == "pattern":
            return matches(self.pattern or "", asked.call)
        return asked.exact == self.exact and (self.scope == "project" or self.is_for(asked))

    def is_wider_than(self, other: Answer) -> bool:
        """Whether the other is for once, and this one for every such call."""
        same = (self.project, self.directory, self.exact) == (other.project, other.directory, other.exact)
        return same and (self.scope, other.scope) == ("project", "once")

    def is_for(self, attempt: Attempt) -> bool:
        """Whether such a run has the same goal in the same place, or goes on with the run that asked."""
        if (attempt.project, attempt.directory) != (self.project, self.directory):
            return False
        return (attempt.goal, attempt.continues) == (self.goal, self.continues) or attempt.continues == self.run_id


def main_argument(call: ToolCall) -> tuple[str, str] | None:
    """The argument that says what a call is about, by name; None where there is no text."""
    texts = {name: value for name, value in call.input.items() if isinstance(value, str)}
    name = next((name for name in (*MAIN, *texts) if name in texts), None)
    return (name, texts[name]) if name is not None else None


def matches(pattern: str, call: ToolCall) -> bool:
    """Whether the main argument fits a pattern, in which ``*`` and ``?`` are wildcards and all else is itself.

    In commands a wildcard stands for no shell operator, and a path that goes up (``..``) fits no pattern.
    """
    main = main_argument(call)
    if main is None or (main[0] in _PATHS and ".." in Path(main[1]).parts):
        return False
    one = _ANY.get(main[0], _ANY_ELSE)
    wild = {"*": f"{one}*", "?": one}
    return re.fullmatch("".join(wild.get(char, re.escape(char)) for char in pattern), main[1]) is not None


class AnswerStore:
    """The answers below a workspace's ``state/approvals/``, which only their user can read.

    Each has the seal of its user in this place: what came with a workspace from elsewhere is no answer, and a workspace
    that was moved or copied asks again.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace.resolve()
        self._root = workspace / "state" / "approvals"

    def keep(self, answer: Answer) -> None:
        """Remember an answer, durably; it takes the place of an earlier one to the same question, and of narrower ones.

        Raises LLMOSError where it cannot be sealed.
        """
        sealed = answer.sealed(self._workspace)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        write_atomic(self._path(answer), sealed.model_dump_json(indent=2).encode(), mode=0o600)
        for other in filter(answer.is_wider_than, self.answers()):
            self.forget(other)

    def forget(self, answer: Answer) -> bool:
        """Remove an answer; False where it is gone. Of several that do so at once, one is told True."""
        try:
            self._path(answer).unlink()
        except FileNotFoundError:
            return False
        return True

    def answers(self) -> Iterator[Answer]:
        """All answers, the newest first. A file that is damaged, renamed or of another user is no answer.

        All files are read each time: they are as few as a person gave answers that still hold.
        """
        found = []
        for path in self._root.glob("[!.]*.json"):
            with suppress(FileNotFoundError, ValidationError):  # used up meanwhile; damaged
                answer = Answer.model_validate_json(path.read_bytes())
                if self._path(answer) == path and answer.is_sealed(self._workspace):
                    found.append(answer)
        yield from sorted(found, key=lambda answer: answer.at, reverse=True)

    def take(self, asked: Asked) -> Answer | None:
        """The newest answer to a question; one for once is given to one taker only."""
        fitting = (answer for answer in self.answers() if answer.fits(asked))
        return next((answer for answer in fitting if answer.scope != "once" or self.forget(answer)), None)

    def _path(self, answer: Answer) -> Path:
        return self._root / f"{answer.scope}-{answer.id}.json"

    def _sweep(self) -> None:
        """Remove the drafts of processes that were killed."""
        for draft in self._root.glob(".*.json.*"):
            with suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime > _OLD_DRAFT_S:
                    draft.unlink()

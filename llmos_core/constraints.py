"""Constraints as sentences: those of a known form are enforced, all of them are told to the model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmos_core.errors import UsageError
from llmos_core.records import Task

_AT_MOST = r"(?:max(?:imum|imal)?|at most|no more than|not more than|up to|limit|under|within)\.?:?"
_NUMBER = r"(?P<n>\d{1,12}(?:\.\d{1,6})?|\.\d{1,6})"
_COST = re.compile(
    rf"(?:{_AT_MOST} )?(?:(?:costs?|spend|budget|price):? )?(?:{_AT_MOST} )?(?:of )?"
    rf"(?:\$ ?{_NUMBER}(?: ?usd)?|{_NUMBER.replace('<n>', '<m>')} ?(?P<unit>usd|dollars?|cents?|\$))(?: in all| total)?"
)
_TIME = re.compile(
    rf"(?:{_AT_MOST} )?(?:(?:time|duration|timeout|deadline):? )?(?:{_AT_MOST} )?(?:of )?"
    rf"{_NUMBER} ?(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hours?)"
)
_TURNS = re.compile(rf"(?:{_AT_MOST} )?(?:turns:? )?(?:{_AT_MOST} )?(?P<n>\d{{1,6}})(?: turns?)?")
_ALLOWED = re.compile(r"(?:(?:only )?allowed tools?(?: are)?|only (?:the )?tools?):? (?P<names>.+)")
_FORBIDDEN = re.compile(r"(?:forbidden|disallowed|denied) tools?(?: are)?:? (?P<names>.+)")
_USE_ONLY = re.compile(r"(?:use only|only use)(?: the tools?)? (?P<names>.+)")
_DO_WITHOUT = re.compile(r"(?:no|without|(?:do not|don't|never) use)(?: the tools?)? (?P<names>.+)")
_LIMIT = re.compile(rf"{_AT_MOST} (?:costs?|spend|budget|time|duration|turns?|\$)|timeout|(?:cost|time|turns):? ")
_SEPARATOR = re.compile(r",? (?:and|or|nor) |, ?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Rules:
    """What constraints enforce. Money in US dollars, time in seconds; None means no limit."""

    max_cost_usd: float | None = None
    timeout_s: float | None = None
    max_turns: int | None = None
    allowed_tools: frozenset[str] | None = None
    forbidden_tools: frozenset[str] = frozenset()

    def admits(self, tool: str) -> bool:
        """Whether a kernel or native tool may be used."""
        return tool not in self.forbidden_tools and (self.allowed_tools is None or tool in self.allowed_tools)

    def within(self, others: Rules) -> Rules:
        """These rules, and of the others what concerns tools: a task within a task may use no more than that."""
        both = [tools for tools in (self.allowed_tools, others.allowed_tools) if tools is not None]
        return replace(
            self,
            allowed_tools=frozenset.intersection(*both) if both else None,
            forbidden_tools=self.forbidden_tools | others.forbidden_tools,
        )

    def applied(self, task: Task) -> Task:
        """The task with the narrower of its own limits and these."""
        limits: dict[str, Any] = {
            name: min(found)
            for name in ("max_cost_usd", "timeout_s", "max_turns")
            if (found := [limit for limit in (getattr(task, name), getattr(self, name)) if limit is not None])
        }
        return task.model_copy(update=limits)


def same_constraints(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two lists say the same; order, repetition, white space and a final point do not matter."""
    return {_folded(text) for text in one} == {_folded(text) for text in other}


def read_constraints(constraints: Sequence[str], tools: Collection[str]) -> Rules:
    """What these sentences enforce, such as ``Max cost $0.10``, ``Max 60 seconds``, ``Max 5 turns``, ``Only tools:
    Read, Grep`` and ``No Bash``. ``tools`` are the names known here.

    A sentence of no such form is for the model alone. Raises UsageError for one that means to limit something in a way
    that is not understood, or that names a tool which is not there.
    """
    costs: list[float] = []
    times: list[float] = []
    turns: list[int] = []
    allowed: list[frozenset[str]] = []
    forbidden: set[str] = set()
    known = {name.lower(): name for name in tools}
    for constraint in constraints:
        text = _folded(constraint).lower()
        if not text:
            raise UsageError("A constraint is empty.", fix='Say what must hold, for example: --constraint "No Bash"')
        if found := _COST.fullmatch(text):
            amount = float(found["n"] or found["m"])
            costs.append(amount / 100 if (found["unit"] or "").startswith("cent") else amount)
        elif found := _TIME.fullmatch(text):
            times.append(float(found["n"]) * _SECONDS[found["unit"][0]])
        elif "turn" in text and (found := _TURNS.fullmatch(text)):
            turns.append(int(found["n"]))
        elif names := _tools(text, known, constraint, _ALLOWED, _USE_ONLY):
            allowed.append(names)
        elif names := _tools(text, known, constraint, _FORBIDDEN, _DO_WITHOUT):
            forbidden |= names
        elif _LIMIT.match(text):
            raise _not_understood(constraint)
    if 0 in (*costs, *times, *turns):
        raise UsageError("A constraint leaves nothing to run with.", "A limit of 0 admits no run.")
    return Rules(
        max_cost_usd=min(costs, default=None),
        timeout_s=min(times, default=None),
        max_turns=min(turns, default=None),
        allowed_tools=frozenset.intersection(*allowed) if allowed else None,
        forbidden_tools=frozenset(forbidden),
    )


def _folded(text: str) -> str:
    return " ".join(text.split()).rstrip(" .!")


def _tools(
    text: str, known: dict[str, str], constraint: str, listed: re.Pattern[str], said: re.Pattern[str]
) -> frozenset[str] | None:
    """The tools that a sentence names. What only *says* so counts if it names tools and nothing else."""
    found = listed.fullmatch(text)
    words = found or said.fullmatch(text)
    if words is None:
        return None
    names = list(_names(words["names"]))
    unknown = [name for name in names if name not in known]
    if not unknown:
        return frozenset(known[name] for name in names)
    if found is None:
        return None
    raise UsageError(
        f"A constraint names the tool {unknown[0]}, which is not there.",
        f"It says: {constraint.strip()}",
        f"The tools are: {', '.join(known.values()) or 'none'}.",
    )


def _names(text: str) -> Iterator[str]:
    return (name.strip(" `'\"") for name in _SEPARATOR.split(text))


def _not_understood(constraint: str) -> UsageError:
    return UsageError(
        f"The constraint {constraint.strip()!r} is not understood.",
        "It reads like a limit, and a limit that is not enforced is worse than none.",
        'Write it like "Max cost $0.10", "Max 60 seconds", "Max 5 turns", "Only tools: Read, Grep" or "No Bash".',
    )

"""Constraints as sentences: those of a known form are enforced, all of them are told to the model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmos_core.errors import UsageError
from llmos_core.records import Task

_AT_MOST = (
    r"(?:max(?:imum|imal)?|at most|(?:no|not) (?:more|longer) than|less than|up to|limit|under|below|within)\.?:?"
)
_NUMBER = r"(?P<n>\d{1,12}(?:\.\d{1,6})?|\.\d{1,6})"
_TAIL = r"(?: (?:in all|total|max(?:imum)?|at most|or less))?"
_COST = re.compile(
    rf"(?:{_AT_MOST} )?(?:(?:costs?|spend|budget|price):? )?(?:{_AT_MOST} )?(?:of )?"
    rf"(?:\$ ?{_NUMBER}(?: ?usd)?|{_NUMBER.replace('<n>', '<m>')} ?(?P<unit>usd|dollars?|cents?|\$)){_TAIL}"
)
_TIME = re.compile(
    rf"(?:{_AT_MOST} )?(?:(?:time|duration|timeout|deadline):? )?(?:{_AT_MOST} )?(?:of )?"
    rf"{_NUMBER} ?(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hours?){_TAIL}"
)
_TURNS = re.compile(rf"(?:{_AT_MOST} )?(?:turns:? )?(?:{_AT_MOST} )?(?P<n>\d{{1,6}})(?: turns?)?{_TAIL}")
_ALLOWED = re.compile(r"(?i)(?:(?:only )?allowed(?: tools?(?: are)?:?|:)|only (?:the )?tools?:?|tools:) (?P<names>.+)")
_FORBIDDEN = re.compile(r"(?i)(?:forbidden|disallowed|denied)(?: tools?(?: are)?:?|:) (?P<names>.+)")
_USE_ONLY = re.compile(r"(?i)(?:you may )?(?:use only|only use)(?: the)?(?: tools?:?)? (?P<names>.+?)(?: tools?)?")
_DO_WITHOUT = re.compile(
    r"(?i)(?:no|without|forbid|(?:do not|don't|never|must not) (?:use|call|run))(?: (?:the|any))?(?: tools?:?)? "
    r"(?P<names>.+?)(?: tools?)?"
)
_NO_TOOLS = re.compile(r"(?i)(?:no|without|(?:do not|don't|never) use|use no)(?: any)? tools?(?: at all)?")
_UNITS = r"usd|eur|dollars?|euros?|cents?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|turns?"
_LIMIT = re.compile(
    rf"{_AT_MOST} (?:total )?(?:costs?|spend(?:ing)?|budget|time|duration|turns?|[\d.,]* ?(?:{_UNITS}))\b"
    rf"|{_AT_MOST} ?[$€£]|(?:costs?|budget|time|duration|timeout|deadline|turns):"
)
_SEPARATOR = re.compile(r",? (?:and|or|nor) (?:no )?|, ?(?:no )?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Rules:
    """What constraints enforce. Money in US dollars, time in seconds; None means no limit.

    ``told`` are the sentences that nothing here enforces: they are for the model alone.
    """

    max_cost_usd: float | None = None
    timeout_s: float | None = None
    max_turns: int | None = None
    allowed_tools: frozenset[str] | None = None
    forbidden_tools: frozenset[str] = frozenset()
    told: tuple[str, ...] = ()

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

    A sentence of no such form is for the model alone. Raises UsageError for one that begins like a limit and is not
    understood, or that lists a tool which is not there.
    """
    limits: list[tuple[str, float]] = []
    allowed: list[frozenset[str]] = []
    forbidden: set[str] = set()
    told: list[str] = []
    known = {name.lower(): name for name in tools}
    for constraint in constraints:
        text = _folded(constraint)
        if not text:
            raise UsageError("A constraint is empty.", fix='Say what must hold, for example: --constraint "No Bash"')
        if limit := _limit(text.lower()):
            limits.append(limit)
        elif (names := _allowed(text, known)) is not None:
            allowed.append(names)
        elif names := _listed(text, known, _FORBIDDEN) or _said(text, known, _DO_WITHOUT):
            forbidden |= names
        elif _LIMIT.match(text.lower()):
            raise _not_understood(constraint)
        else:
            told.append(text)
    if any(amount == 0 for _, amount in limits):
        raise UsageError("A constraint leaves nothing to run with.", "A limit of 0 admits no run.")
    least = {name: min(amount for other, amount in limits if other == name) for name, _ in limits}
    return Rules(
        max_cost_usd=least.get("max_cost_usd"),
        timeout_s=least.get("timeout_s"),
        max_turns=int(least["max_turns"]) if "max_turns" in least else None,
        allowed_tools=frozenset.intersection(*allowed) if allowed else None,
        forbidden_tools=frozenset(forbidden),
        told=tuple(told),
    )


def _limit(text: str) -> tuple[str, float] | None:
    """The field of the rules that a sentence limits, and the amount."""
    if found := _COST.fullmatch(text):
        amount = float(found["n"] or found["m"])
        return "max_cost_usd", amount / 100 if (found["unit"] or "").startswith("cent") else amount
    if found := _TIME.fullmatch(text):
        return "timeout_s", float(found["n"]) * _SECONDS[found["unit"][0]]
    if "turn" in text and (found := _TURNS.fullmatch(text)):
        return "max_turns", float(found["n"])
    return None


def _folded(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").split()).rstrip(" .!")


def _listed(text: str, known: Mapping[str, str], pattern: re.Pattern[str]) -> frozenset[str]:
    """The tools of a sentence that lists tools. Raises UsageError for one that is not there."""
    found = pattern.fullmatch(text)
    names = list(_names(found["names"])) if found else []
    for name in names:
        if name.lower() not in known:
            raise UsageError(
                f"A constraint names the tool {name}, which is not there.",
                f"It says: {text}",
                f"The tools are: {', '.join(known.values()) or 'none'}.",
            )
    return frozenset(known[name.lower()] for name in names)


def _allowed(text: str, known: Mapping[str, str]) -> frozenset[str] | None:
    """The only tools that a sentence allows. What merely says so counts if it names tools and nothing else."""
    if _NO_TOOLS.fullmatch(text):
        return frozenset()
    if names := _listed(text, known, _ALLOWED):
        return names
    return _said(text, known, _USE_ONLY)


def _said(text: str, known: Mapping[str, str], pattern: re.Pattern[str]) -> frozenset[str] | None:
    """The tools that a sentence of this form names; None if it names anything else."""
    found = pattern.fullmatch(text)
    said = [known.get(name.lower()) for name in _names(found["names"])] if found else [None]
    return None if None in said else frozenset(name for name in said if name)


def _names(text: str) -> Iterator[str]:
    return (name.strip(" `'\"") for name in _SEPARATOR.split(text))


def _not_understood(constraint: str) -> UsageError:
    return UsageError(
        f"The constraint {constraint.strip()!r} is not understood.",
        "It reads like a limit, and a limit that is not enforced is worse than none.",
        'Write it like "Max cost $0.10", "Max 60 seconds", "Max 5 turns", "Only tools: Read, Grep" or "No Bash".',
    )

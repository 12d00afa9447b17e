"""The options of a command, read as getopt reads them: clusters, values, ``--``, abbreviations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

_SHORTEST = 4
"""With how many characters a long option may be abbreviated, its dashes included."""


@dataclass
class Options:
    """What stood after the name of a command. ``given`` are options in order, with their values where they have one."""

    given: list[tuple[str, str | None]] = field(default_factory=list)
    operands: list[str] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        """Whether one of the options is given, abbreviated or not."""
        return any(_same(given, name) for given, _ in self.given for name in names)

    def holds(self, name: str) -> bool:
        """Whether an option is given and neither taken back (``--no-x``) nor switched off (``--x=false``)."""
        given = [value for one, value in self.given if _same(one, name)]
        off = any(one == f"--no-{name.lstrip('-')}" for one, _ in self.given) or (
            name == "-n" and self.has("--no-dry-run")
        )
        return bool(given) and not off and (given[-1] or "").lower() not in {"false", "0", "no", "none"}

    def values(self, *names: str) -> list[str]:
        """The values that were given for these options."""
        return [value for given, value in self.given if value is not None for name in names if _same(given, name)]


def _same(given: str, name: str) -> bool:
    if given == name:
        return True
    return len(given) >= _SHORTEST and given.startswith("--") and name.startswith(given)


def read(arguments: Sequence[str], values: Collection[str] = (), *, stop: bool = False) -> Options:
    """Read arguments. ``values`` are the options that take one; with ``stop`` the first operand ends the options."""
    options = Options()
    waiting = list(arguments)[::-1]
    while waiting:
        word = waiting.pop()
        if word == "--":
            options.operands.extend(waiting[::-1])
            break
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            takes = not equals and any(_same(name, known) for known in values if known.startswith("--"))
            options.given.append((name, value if equals else waiting.pop() if takes and waiting else None))
        elif word.startswith("-") and len(word) > 1:
            _cluster(word, values, waiting, options)
        else:
            options.operands.append(word)
            if stop:
                options.operands.extend(waiting[::-1])
                break
    return options


def _cluster(word: str, values: Collection[str], waiting: list[str], options: Options) -> None:
    name, equals, value = word.partition("=")
    if word in values:
        options.given.append((word, waiting.pop() if waiting else None))
        return
    if len(word) > 2:
        options.given.append((name, value if equals else None))
    for at in range(1, len(word)):
        letter = f"-{word[at]}"
        if letter in values:
            rest = word[at + 1 :]
            options.given.append((letter, rest or (waiting.pop() if waiting else None)))
            return
        options.given.append((letter, None))

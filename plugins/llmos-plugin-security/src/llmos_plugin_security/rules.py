"""The rules as data: read from ``rules.toml`` and from the settings, and matched with a command."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

from llmos_plugin_security.options import Options, read
from llmos_plugin_security.values import as_text, is_decided

Severity = Literal["allow", "ask", "deny"]
CLASSES = ("control", "secret", "undecided", "destructive", "system", "remote", "code", "user")


@dataclass(frozen=True)
class Rule:
    """One rule. Without ``command`` it is not matched here: code that understands the subject refers to its id.

    ``words`` are patterns of the first operands, ``any`` options of which one is given, ``all`` options that all are,
    ``none`` options that are not, ``args`` a pattern that one operand fits, ``text`` a pattern found in the words
    of the command, or with ``stdin`` in what it reads. An ``allow`` with ``even_denied`` lifts denials too.
    """

    id: str
    what: str
    why: str = ""
    severity: Severity = "ask"
    kind: str = "destructive"
    command: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    args: str = ""
    text: str = ""
    stdin: bool = False
    even_denied: bool = False
    match: tuple[str, ...] = field(default=(), compare=False)
    passes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, data: dict[str, Any]) -> Rule:
        given: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in data.items()}
        if isinstance(given.get("command"), str):
            given["command"] = (given["command"],)
        given["passes"] = given.pop("pass", ())
        return cls(**given)

    def fits(self, name: str, arguments: Sequence[str], stdin: str) -> bool:
        """Whether the rule is about a command of this name and speaks of what it is given."""
        return any(_full(pattern, name) for pattern in self.command) and self.speaks(name, arguments, stdin)

    def speaks(self, name: str, arguments: Sequence[str], stdin: str) -> bool:
        """Whether the rule, which is about this command, speaks of what it is given."""
        options = _read(tuple(arguments), self.values or VALUES.get(name, ()))
        if self.any and not options.has(*self.any):
            return False
        if any(options.holds(option) for option in self.none):
            return False
        if not all(options.has(option) for option in self.all):
            return False
        return self._operands(options) and self._text(arguments, stdin)

    def _operands(self, options: Options) -> bool:
        operands = options.operands
        if len(operands) < len(self.words):
            return False
        if not all(map(_full, self.words, operands)):
            return False
        return not self.args or any(_full(self.args, operand) for operand in operands[len(self.words) :])

    def _text(self, arguments: Sequence[str], stdin: str) -> bool:
        if not self.text:
            return True
        text = " ".join(arguments) + ("\n" + stdin if self.stdin else "")
        return _compiled(self.text).search(as_text(text)) is not None


# Options of programs with sub-commands that take a value: what follows them is no sub-command.
VALUES: dict[str, tuple[str, ...]] = {
    "git": ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "-m", "--message"),
    "docker": ("-H", "--host", "--context", "-c", "-l", "--log-level", "--config"),
    "podman": ("--connection", "-c", "--url", "--root", "--log-level"),
    "kubectl": ("-n", "--namespace", "--context", "--kubeconfig", "--cluster", "--user", "-s", "--server", "-l", "-f"),
    "helm": ("-n", "--namespace", "--kube-context", "--kubeconfig"),
    "aws": ("--region", "--profile", "--output", "--endpoint-url", "--query"),
    "gcloud": ("--project", "--account", "--zone", "--region", "--format", "--configuration"),
    "gsutil": ("-o", "-u", "-i"),
    "az": ("-g", "--resource-group", "--subscription", "-o", "-n", "--name"),
    "npm": ("--prefix", "-C", "-w", "--workspace"),
    "redis-cli": ("-h", "-p", "-a", "-n", "-u", "-s"),
    "systemctl": ("-H", "--host", "-M", "-t", "-p"),
    "gh": ("-R", "--repo"),
    "terraform": ("-chdir",),
    "apt": ("-o", "-t", "-c"),
    "apt-get": ("-o", "-t", "-c"),
    "kill": ("-s", "--signal", "-n"),
    "ip": ("-n", "-netns"),
}


@lru_cache(maxsize=8)
def _read(arguments: tuple[str, ...], values: tuple[str, ...]) -> Options:
    """One command is held against many rules."""
    return read(arguments, values)


_FLAGS = re.IGNORECASE | re.DOTALL


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, _FLAGS)


def _full(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(as_text(text)) is not None


@cache
def rules() -> tuple[Rule, ...]:
    """The built-in rules."""
    data = tomllib.loads(files("llmos_plugin_security").joinpath("rules.toml").read_text("utf-8"))
    return tuple(Rule.of(one) for one in data["rule"])


@cache
def by_id() -> dict[str, Rule]:
    """The built-in rules by their ids."""
    return {rule.id: rule for rule in rules()}


@cache
def _by_command() -> tuple[dict[str, list[Rule]], tuple[Rule, ...]]:
    """The rules by the plain names of their commands, and those that have a pattern among them."""
    plain: dict[str, list[Rule]] = {}
    patterns = []
    for rule in rules():
        for pattern in filter(None, (*rule.command, *rule.words, rule.args, rule.text)):
            _compiled(pattern)  # here, once: the calls that come first shall not wait for it one by one
        if all(re.fullmatch(r"[\w-]+", name) for name in rule.command):
            for name in rule.command:
                plain.setdefault(name.casefold(), []).append(rule)
        else:
            patterns.append(rule)
    return plain, tuple(patterns)


@lru_cache(maxsize=1024)
def _about(name: str) -> tuple[Rule, ...]:
    """The rules about a command of this name."""
    plain, patterns = _by_command()
    return (*plain.get(name.casefold(), ()), *(rule for rule in patterns if any(_full(p, name) for p in rule.command)))


def matching(name: str, arguments: Sequence[str], stdin: str) -> list[Rule]:
    """The built-in rules that speak of a command."""
    return [rule for rule in _about(name) if rule.speaks(name, arguments, stdin)]


@lru_cache(maxsize=1024)
def reads_text(name: str) -> Literal["", "words", "input"]:
    """Whether rules about a command search all of its words, or what it reads as well."""
    about = [rule for rule in _about(name) if rule.text and rule.command != (".*",)]
    return "input" if any(rule.stdin for rule in about) else "words" if about else ""


def undecided_subcommand(name: str, arguments: Sequence[str]) -> str | None:
    """The word that says what a program shall do, where rules speak of such words and it is not known."""
    if not any(rule.words for rule in _about(name)):
        return None
    operands = read(arguments, VALUES.get(name, ())).operands
    return operands[0] if operands and not is_decided(operands[0]) else None


@cache
def profiles() -> dict[str, dict[str, Any]]:
    """What ``commands.toml`` says, by the names of commands."""
    data = tomllib.loads(files("llmos_plugin_security").joinpath("commands.toml").read_text("utf-8"))
    return {name: entry for entry in data["command"] for name in entry["names"]}

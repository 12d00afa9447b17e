"""The guard itself: a tool call in, a judgement out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos_plugin_security import builtins_judged, interpreters, outputs, programs, rules, unknown_tools, wrappers
from llmos_plugin_security.commands_judged import Commands
from llmos_plugin_security.places import World
from llmos_plugin_security.rules import Rule, Severity
from llmos_plugin_security.scope import Exhausted, Finding
from llmos_plugin_security.shell import Shell
from llmos_plugin_security.tools import judge_tool
from llmos_plugin_security.values import holds_marks

_STRICTNESS: dict[str, int] = {"allow": 0, "ask": 1, "deny": 2}
_HANDLERS = {
    **builtins_judged.HANDLERS,
    **outputs.HANDLERS,
    **wrappers.HANDLERS,
    **interpreters.HANDLERS,
    **programs.HANDLERS,
}
_SEALED_KINDS = {"control", "secret", "undecided"}


@dataclass(frozen=True)
class Judgement:
    """What the guard says of a call, and why. ``trail`` leads to ``part`` through what it is wrapped in."""

    verdict: Severity
    rule: str = ""
    reason: str = ""
    part: str = ""
    trail: Sequence[str] = ()
    findings: Sequence[Finding] = field(default=(), repr=False)


@dataclass(frozen=True)
class Judge:
    """Judges calls in one world. ``own`` are the user's rules, which come from the settings."""

    world: World
    own: Sequence[Rule] = ()

    def judge(self, tool: str, input: Mapping[str, Any]) -> Judgement:
        """Judge a call of a tool. What it says depends on the call, on the world and on symbolic links alone."""
        if tool == "Bash":
            return self.command(input.get("command"))
        findings = judge_tool(tool, input, self.world)
        if findings is None:
            findings = self._unknown(tool, input)
        return self._judgement(findings)

    def command(self, command: object) -> Judgement:
        """Judge a shell command."""
        if not isinstance(command, str):
            return Judgement("deny", "unparseable", "the command is no text")
        words = _words(command) if any(rule.severity == "allow" for rule in self.own) else ()
        return self._judgement(self._found(command), words)

    def _unknown(self, tool: str, input: Mapping[str, Any]) -> list[Finding]:
        try:
            found = unknown_tools.findings(tool, input, self.world)
            commands = unknown_tools.commands(input)
        except Exhausted as error:
            return [Finding("too-complex", tool, (), str(error))]
        return [*found, *(one for command in commands for one in self._found(command))]

    def _found(self, command: str) -> list[Finding]:
        """What speaks against a shell command."""
        if holds_marks(command):
            return [Finding("control-characters", "", (), "it holds characters of private use")]
        commands = Commands(_HANDLERS, [rule for rule in self.own if rule.severity != "allow"])
        shell = Shell(self.world, commands)
        try:
            shell.text(_visible(command), "the command")
        except Exhausted as error:
            shell.trail.clear()
            shell.find("too-complex", command, str(error))
        except RecursionError:
            shell.trail.clear()
            shell.find("too-deep", command)
        return shell.findings

    def _judgement(self, findings: Sequence[Finding], words: Sequence[str] = ()) -> Judgement:
        decided: list[tuple[Severity, Rule, Finding]] = []
        own = {rule.id: rule for rule in self.own}
        for finding in findings:
            rule = own.get(finding.rule) or rules.by_id()[finding.rule]
            allowed = self._allowing(rule, words)
            decided.append(("allow", allowed, finding) if allowed else (rule.severity, rule, finding))
        if not decided:
            return Judgement("allow")
        severity, rule, finding = max(decided, key=lambda one: _STRICTNESS[one[0]])
        if severity == "allow":
            return Judgement("allow", rule.id, "a rule of the settings allows it", findings=findings)
        what = rule.what[:1].lower() + rule.what[1:]
        reason = f"{what}: {finding.part}" if finding.part else what
        if finding.detail and finding.detail != finding.part:
            reason += f" ({finding.detail})"
        return Judgement(severity, rule.id, reason, finding.part, finding.trail, findings)

    def _allowing(self, rule: Rule, words: Sequence[str]) -> Rule | None:
        """The user's rule that allows what this one speaks against; a denial, control files and secrets stay as they
        are, unless it says so.
        """
        if not words:
            return None
        name, arguments = words[0].rpartition("/")[2], words[1:]
        may = rule.severity == "ask" and rule.kind not in _SEALED_KINDS
        lifting = (one for one in self.own if one.severity == "allow" and (may or one.even_denied))
        return next((one for one in lifting if one.fits(name, arguments, "")), None)


def _visible(command: str) -> str:
    """Without what the shell takes away before it reads anything."""
    return command.replace("\r\n", "\n")


def _words(command: str) -> list[str]:
    """The words of a command that is one simple command, which alone a rule may allow."""
    if re.search(r"[;&|<>`$(){}\n\\]", command):
        return []
    try:
        return shlex.split(command)
    except ValueError:
        return []

"""git: settings that run programs, where it works, commands that take commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmos_plugin_security import effects, rules
from llmos_plugin_security.options import read
from llmos_plugin_security.values import NETWORK, OUTPUT, SOME, STAR

if TYPE_CHECKING:
    from llmos_plugin_security.shell import Shell

_GIT_RUNS = re.compile(
    r"(?:core\.(?:sshcommand|pager|editor|fsmonitor|askpass|gitproxy)|sequence\.editor|diff\.external|"
    r"credential(?:\..*)?\.helper|gpg(?:\..*)?\.program|pager\..*|(?:diff|merge)tool\..*\.cmd|"
    r"(?:diff|merge)\..*\.(?:command|textconv|driver)|filter\..*\.(?:clean|smudge|process)|"
    r"interactive\.difffilter|uploadpack\.packobjectshook|remote\..*\.(?:uploadpack|receivepack|vcs)|"
    r"ssh\.variant|web\.browser|man\..*\.cmd|sendemail\..*cmd|trailer\..*\.command)",
    re.IGNORECASE,
)
_GIT_LEADS = re.compile(
    r"(?:core\.(?:hookspath|worktree|attributesfile|excludesfile)|include(?:if\..*)?\.path|init\.templatedir|"
    r"url\..*\.(?:push)?insteadof|http\..*proxy|http\.sslverify|protocol\..*|safe\.directory|"
    r"commit\.template|alias\..*|submodule\..*\.update)",
    re.IGNORECASE,
)


def git(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``git``: settings that run programs, where it works, commands that take commands."""
    values = rules.VALUES["git"]
    options = read(arguments, values, stop=True)
    for setting in options.values("-c", "--config-env"):
        _git_setting(shell, *setting.partition("=")[::2])
    with shell.subshell():
        for directory in options.values("-C"):
            shell.scope.directory = shell.at(directory).path
        for directory in options.values("--work-tree", "--git-dir", "--exec-path"):
            if shell.at(directory).kind != "inside":
                shell.commands.writes(shell, directory, f"git works in {directory}")
        words = options.operands
        if words:
            _git_command(shell, words[0], words[1:])
        if shell.scope.directory != shell.world.root and not _GIT_READS & {*words[:1]}:
            place = shell.at(".")
            free = place.kind in {"inside", "everything", "unknown", "scratch"} or place.path == shell.world.real_root
            if not free:
                shell.find("write-outside", "git " + " ".join(arguments), effects.told(shell.world, place))
    if words[:1] == ["ls-files"] and not set(words[1:]) - {"-z", "-c", "--cached"}:
        return f"./{STAR}\n"
    if words[:1] == ["ls-files"] or words[:2] == ["diff", "--name-only"] or words[:2] == ["grep", "-l"]:
        return f"./{SOME}\n"
    return NETWORK if words[:1] == ["archive"] and any("remote" in word for word in words) else OUTPUT


_GIT_READS = {
    "status",
    "log",
    "diff",
    "show",
    "rev-parse",
    "ls-files",
    "describe",
    "blame",
    "grep",
    "version",
    "help",
    "ls-remote",
    "shortlog",
    "rev-list",
    "cat-file",
    "config",
    "remote",
}


def _git_setting(shell: Shell, key: str, value: str) -> None:
    runs = value.removeprefix("!")
    if value.startswith("!") or _GIT_RUNS.fullmatch(key):
        if re.fullmatch(r"[\w-]*", runs) and not value.startswith("!"):
            return
        shell.text(runs, f"git setting {key}")
        shell.find("git-setting", f"{key}={value}")
    elif _GIT_LEADS.fullmatch(key) and not key.lower().startswith(("alias.", "core.excludesfile", "commit.template")):
        shell.find("git-setting", f"{key}={value}")


def _git_command(shell: Shell, verb: str, arguments: list[str]) -> None:  # noqa: C901, PLR0912 - one branch a verb
    if verb == "config":
        words = read(arguments, ("-f", "--file", "--blob", "--type", "--default")).operands
        words = words[1:] if words[:1] in (["set"], ["add"]) else words
        if len(words) > 1 and words[0] not in {"get", "list", "unset"}:
            _git_setting(shell, words[0], words[1])
        for path in read(arguments, ("-f", "--file")).values("-f", "--file"):
            shell.commands.writes(shell, path, path)
    elif verb in {"submodule", "bisect"} and arguments[:1] in (["foreach"], ["run"]):
        words = [word for word in arguments[1:] if word not in {"--recursive", "-q", "--quiet"}]
        if len(words) == 1 and verb == "submodule":
            shell.text(words[0], f"git {verb} runs")
        else:
            shell.commands.run(shell, words, "")
    elif verb in {"clone", "fetch", "pull", "push", "ls-remote", "archive", "remote"}:
        _git_remote(shell, verb, arguments)
    elif verb in {"init", "worktree", "bundle"}:
        words = read(arguments, ("-b", "--initial-branch", "--template", "-B")).operands
        for path in words[1:2] if verb == "worktree" and words[:1] == ["add"] else words[:1] if verb == "init" else []:
            shell.commands.writes(shell, path, f"git {verb} {path}")
    elif verb == "filter-branch":
        for word in arguments:
            if " " in word:
                shell.text(word, "git filter-branch runs")
    for word in _values(
        arguments, "-x", "--exec", "--extcmd", "--upload-pack", "--receive-pack", "-u", "--open-files-in-pager"
    ):
        if verb in {"rebase", "difftool", "clone", "fetch", "ls-remote", "grep"} and word not in {"origin", "upstream"}:
            if verb in {"clone", "fetch"} and re.fullmatch(r"[\w./:@-]+", word) and "/" not in word:
                continue
            shell.text(word, f"git {verb} runs")
    for path in _values(arguments, "-o", "--output", "--output-directory"):
        shell.commands.writes(shell, path, path)
    for word in arguments:
        if verb not in {"commit", "log", "grep", "tag", "stash", "show", "rm", "status", "check-ignore"}:
            shell.commands.mentions(shell, word)


_CLONE = ("-b", "--branch", "--depth", "-o", "--origin", "-u", "-j", "-c", "--config", "--reference", "--template")


def _values(arguments: list[str], *names: str) -> list[str]:
    return read(arguments, names).values(*names)


def _git_remote(shell: Shell, verb: str, arguments: list[str]) -> None:
    for word in read(
        arguments, ("-b", "--branch", "--depth", "-o", "-u", "-j", "--upload-pack", "--receive-pack")
    ).operands:
        if word.startswith("ext::") or re.match(r"-*o?proxycommand", word, re.IGNORECASE):
            shell.text(word[5:], "git runs")
        elif verb == "push" and re.match(r"(?:\w+://|[\w.-]+@[\w.-]+:)", word):
            shell.find("upload", f"git push {word}", "it goes to an address, not to a remote of the repository")
    if verb == "clone" and (cloned := read(arguments, _CLONE).operands):
        target = cloned[1] if len(cloned) > 1 else cloned[0].rstrip("/").rpartition("/")[2].removesuffix(".git")
        shell.scope.files[f"{shell.at(target).path}/"] = NETWORK
    if verb == "clone":
        for path in read(arguments, _CLONE).operands[1:2]:
            shell.commands.writes(shell, path, f"git clone ... {path}")

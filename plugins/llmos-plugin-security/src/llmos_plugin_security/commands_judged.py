"""What a simple command does: its rules, its wrappers, and the paths that it reads, writes and deletes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmos_plugin_security import effects, rules
from llmos_plugin_security.options import Options, read
from llmos_plugin_security.state import MAX_TEXT
from llmos_plugin_security.values import NETWORK, OUTPUT, STAR, has_subscript, is_decided, is_open, shown

if TYPE_CHECKING:
    from llmos_plugin_security.shell import Shell

Handler = Callable[["Shell", str, list[str], str], str | None]
"""Judges a command by name, arguments and input; gives what it prints, None for what is not known."""

_LOADERS = re.compile(
    r"LD_PRELOAD|LD_AUDIT|LD_LIBRARY_PATH|DYLD_\w+|BASH_ENV|ENV|PERL5OPT|RUBYOPT|PYTHONSTARTUP|"
    r"PYTHONHOME|BASH_FUNC.*|GCONV_PATH|SHELLOPTS|BASHOPTS|PS4"
)
_COMMANDS = re.compile(
    r"PROMPT_COMMAND|GIT_SSH_COMMAND|GIT_SSH|GIT_EXTERNAL_DIFF|GIT_EDITOR|GIT_SEQUENCE_EDITOR|"
    r"GIT_ASKPASS|SSH_ASKPASS|SUDO_ASKPASS|EDITOR|VISUAL|PAGER|GIT_PAGER|MANPAGER|LESSOPEN|BROWSER|"
    r"GIT_PROXY_COMMAND|RSYNC_RSH|CVS_RSH|TAR_OPTIONS"
)
_NETWORK_TOOLS = {
    "curl",
    "wget",
    "wget2",
    "dig",
    "host",
    "nslookup",
    "nc",
    "ncat",
    "netcat",
    "socat",
    "lynx",
    "http",
    "https",
    "xh",
    "fetch",
    "aria2c",
    "lwp-request",
    "ftp",
    "tftp",
    "ssh",
    "telnet",
    "drill",
    "GET",
    "w3m",
}
_OUTPUTS = (
    "-o",
    "--output",
    "--out",
    "--outfile",
    "--out-file",
    "--output-file",
    "--output-dir",
    "--outdir",
    "--out-dir",
    "--output-directory",
    "--target",
    "--root",
    "--prefix",
    "--dest",
    "--destination",
    "--install-dir",
    "--outDir",
    "--bindir",
    "--log-file",
    "--logfile",
    "--report",
    "--chdir",
    "--cwd",
    "--directory",
)
_BEFORE = {"!", "{", "if", "then", "else", "elif", "do", "while", "until"}
_AFTER = {"}", "fi", "done", "esac"}
_COMPOUND = {"for", "case", "select", "function"}
_VERB = re.compile(r"[a-z][a-z:-]*")
_SEPARATORS = re.compile(r"[=@,;:]")


class Commands:
    """Looks at every simple command of a shell."""

    def __init__(self, handlers: dict[str, Handler], own: Sequence[rules.Rule] = ()) -> None:
        self.handlers = handlers
        self.own = own

    def run(self, shell: Shell, words: list[str], stdin: str) -> str:
        """Judge a command; gives what it prints."""
        shell.step()
        # After `!` and `time` the grammar takes the shell's own words for names of programs.
        while words and words[0] in _BEFORE:
            words = words[1:]
        if not words or words[0] in _AFTER:
            return ""
        if words[0] in _COMPOUND:
            shell.find("unparseable", " ".join(words))
            return OUTPUT
        if any(map(has_subscript, words)):
            shell.find("undecided-code", " ".join(words), "a subscript may run commands")
        given, arguments = words[0], words[1:]
        if given in shell.scope.functions:
            return shell.call(given, arguments, stdin)
        if given in shell.scope.aliases:
            return shell.text(" ".join([shell.scope.aliases[given], *map(_quoted, arguments)]), f"alias {given}", stdin)
        return self._program(shell, words, stdin)

    def _program(self, shell: Shell, words: list[str], stdin: str) -> str:
        given, arguments = words[0], words[1:]
        name = given.rpartition("/")[2]
        if not name or not is_decided(name) or not name.isprintable():
            shell.find("undecided-command", given)
            return OUTPUT
        if "/" not in given and _only_asks(name, arguments):
            return OUTPUT
        self._rules(shell, name, words, stdin)
        if "/" in given:
            self.executes(shell, given)
        with shell.within(" ".join(words)):
            printed = self._effects(shell, name, arguments, stdin)
        if printed is not None:
            return printed
        network = name in _NETWORK_TOOLS or NETWORK in stdin or any(NETWORK in word for word in arguments)
        return NETWORK if network else OUTPUT

    def _effects(self, shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
        handler = self.handlers.get(name)
        if handler is None and name.startswith(("python", "pypy", "perl", "ruby", "lua", "php", "node")):
            handler = self.handlers.get(re.sub(r"[\d.]+$", "", name))
        if handler is not None:
            return handler(shell, name, arguments, stdin)
        self.by_profile(shell, name, arguments)
        return None

    def _rules(self, shell: Shell, name: str, words: list[str], stdin: str) -> None:
        found = rules.matching(name, words[1:], stdin) if self._short(shell, name, words, stdin) else []
        found += [rule for rule in self.own if rule.fits(name, words[1:], stdin)]
        for rule in found:
            shell.find(rule.id, " ".join(words))
        if undecided := rules.undecided_subcommand(name, words[1:]):
            shell.find("undecided-command", " ".join(words), f"what {name} shall do is {shown(undecided)}")

    def _short(self, shell: Shell, name: str, words: list[str], stdin: str) -> bool:
        """Whether what the rules about a command look at is short enough for their patterns."""
        read = rules.reads_text(name)
        texts = [*words, stdin] if read == "input" else words if read else []
        return sum(map(len, texts)) + len(texts) <= MAX_TEXT or shell.fits(" ".join(texts))

    # Operands, by what the profiles of commands say.

    def by_profile(self, shell: Shell, name: str, arguments: list[str]) -> None:
        """Judge the paths of a command that needs no code of its own."""
        profile = rules.profiles().get(name, {})
        values = (*profile["values"], *profile.get("writes", ())) if "values" in profile else _OUTPUTS
        options = read(arguments, values)
        kind = profile.get("operands")
        recursive = name in profile.get("always_recursive", ()) or options.has(*profile.get("recursive", ()))
        for path in options.values(*profile.get("writes", ())):
            self.writes(shell, path, path)
        for path in options.values(*profile.get("reads", ())):
            self.reads(shell, path, path)
        method = getattr(self, f"_{kind}", None) if kind else self._unknown
        if method is not None:
            method(shell, name, options, recursive=recursive)
        if kind not in {"text", "name"} and not profile.get("harmless") and kind is not None:
            for _, value in options.given:
                if value is not None:
                    self.operand(shell, name, value)
        if profile.get("harmless") and kind not in {"text", "name"}:
            for _, value in options.given:
                self.mentions(shell, value or "")

    def _text(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        return

    _name = _text

    def _read(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        for path in options.operands:
            self.reads(shell, path, path)

    def _pattern(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        given = options.has("-e", "--regexp", "-f", "--file", "--files")
        for path in options.operands[0 if given else 1 :]:
            self.reads(shell, path, path, recursive=recursive)

    def _write(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        for path in options.operands:
            place = shell.at(path)
            # An empty directory harms nobody; in the home, installers ask for one.
            at_home = place.kind == "outside" and shell.world.is_at_home(place.path)
            if name != "mkdir" or not (place.kind == "inside" or at_home):
                self.writes(shell, path, f"{name} {path}")

    def _delete(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        for path in options.operands:
            self.deletes(shell, path, f"{name} {path}")

    def _mode(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        first = 0 if options.has("--reference") else 1
        for path in options.operands[first:]:
            self.writes(shell, path, f"{name} {path}", rule="mode")
            if shell.at(path).kind == "root" and recursive and name != "chmod":
                shell.find("mode-outside", f"{name} {path}")

    def _copy(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        self._transfer(shell, name, options, recursive=recursive, moved=False)

    def _move(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        self._transfer(shell, name, options, recursive=recursive, moved=True)

    def _transfer(self, shell: Shell, name: str, options: Options, *, recursive: bool, moved: bool) -> None:
        given = options.has("-t", "--target-directory") or (name == "install" and options.has("-d", "--directory"))
        paths = [path for path in options.operands if not _remote(path)]
        sources = options.operands if given else options.operands[:-1]
        for path in sources:
            if path in paths:
                self.reads(shell, path, path, recursive=recursive)
                if moved:
                    self.deletes(shell, path, f"{name} {path}", moved=True)
        targets = sources if name == "install" and options.has("-d", "--directory") else options.operands[-1:]
        if given and name != "install":
            targets = []
        for path in targets:
            if path in paths:
                self.writes(shell, path, f"{name} ... {path}")
                self._copied(shell, sources, path)
        if name in {"ln", "link"} or (name == "cp" and options.has("-s", "--symbolic-link")):
            self._linked(shell, options)

    def _copied(self, shell: Shell, sources: Sequence[str], target: str) -> None:
        """A copy of what the command itself has written holds the same."""
        for path in sources:
            text = shell.scope.files.get(shell.at(path).path)
            if text is not None:
                shell.scope.files[shell.at(target).path] = text

    def _linked(self, shell: Shell, options: Options) -> None:
        """A link made here leads later words elsewhere; one to what must not be touched is refused itself."""
        target = options.operands[-1] if len(options.operands) > 1 else "."
        parent = target if target.endswith(("/", ".")) else target.rpartition("/")[0]
        from_link = options.has("-s", "--symbolic") and not options.has("-r", "--relative") and parent != ""
        for path in options.operands[:-1] or options.operands:
            place = shell.at(f"{parent}/{path}" if from_link and not path.startswith("/") else path)
            if place.kind not in {"inside", "unknown", "harmless"} or ".git" in place.path.split("/"):
                shell.find("link-outside", path)

    def _split(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        for path in options.operands[:1]:
            self.reads(shell, path, path)
        for path in options.operands[1:2] if name == "split" else ():
            self.writes(shell, path, path)

    def _archive(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        letters = name in {"ar", "7z", "7za", "rar", "jar"}
        operands = options.operands[1:] if letters else options.operands
        for at, path in enumerate(operands):
            if at == 0:
                self.writes(shell, path, f"{name} {path}")
            self.reads(shell, path, path, recursive=recursive or letters)

    def _url(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        for operand in options.operands:
            self.mentions(shell, operand)

    def _unknown(self, shell: Shell, name: str, options: Options, *, recursive: bool) -> None:
        """A command nobody described: whatever it is given may be read, and what rules the agent may be written."""
        for path in options.values(*_OUTPUTS):
            self.writes(shell, path, path)
        for given, value in options.given:
            self.operand(shell, name, value or "")
            if len(given) > 3 and given[1] != "-":
                self.operand(shell, name, given[2:])
        for operand in options.operands:
            self.operand(shell, name, operand)

    def operand(self, shell: Shell, name: str, text: str) -> None:
        """A word of which only its looks say whether it is a path."""
        for part in _parts(text):
            self.mentions(shell, part)
            place = shell.at(part)
            if place.kind in {"control", "device"}:
                shell.find("write-control" if place.kind == "control" else "device", f"{name} {part}")

    def mentions(self, shell: Shell, text: str) -> None:
        """A word that may name a file to be read."""
        for part in _parts(text):
            if part.startswith(("/", "~", ".", "@", "id_")) or "/" in part:
                self.reads(shell, part.lstrip("@"), text)

    # Effects on paths.

    def reads(self, shell: Shell, path: str, part: str, *, recursive: bool = False) -> None:
        """Judge the reading of a path."""
        place = shell.at(path)
        if place.closed == "secret":
            shell.find("read-secret", part, place.path)
        elif place.closed == "project":
            shell.find("read-project-secret", part, place.path)
        elif recursive and place.kind != "unknown" and shell.world.holds_secrets(place.path):
            shell.find("read-secret", part, f"secrets lie below {place.path}")
        if path.startswith(("/dev/tcp/", "/dev/udp/")):
            shell.find("reverse-shell", part)
        elif place.kind == "device":
            shell.find("device", part, place.path)

    def writes(self, shell: Shell, path: str, part: str, *, rule: str = "write") -> None:
        """Judge the writing of a path."""
        if not path:
            return
        if path.startswith(("/dev/tcp/", "/dev/udp/")):
            shell.find("reverse-shell", part)
            return
        place = shell.at(path)
        against = effects.against_writing(shell.world, place, rule)
        if against is not None:
            shell.find(against, part, effects.told(shell.world, place))

    def deletes(self, shell: Shell, path: str, part: str, *, moved: bool = False) -> None:
        """Judge the deletion of a path."""
        place = shell.at(path)
        if path.rstrip("/").rpartition("/")[2] == f".{STAR}":
            shell.find("delete-outside", part, "the pattern matches `..`")
        elif against := effects.against_deleting(shell.world, place, moved=moved):
            shell.find(against, part, place.path)

    def executes(self, shell: Shell, path: str) -> None:
        """Judge running a file: what the command itself has written or fetched is known, and judged."""
        place = shell.at(path)
        text = shell.written(place.path)
        if text is not None:
            shell.text(text, f"the file {path}")
        if place.is_shared and text is None:
            shell.find("run-temporary", path)

    def variable(self, shell: Shell, name: str, value: str) -> None:
        """Judge the setting of a variable."""
        if has_subscript(value):
            shell.find("undecided-code", f"{name}={value}", "a subscript may run commands")
        if _LOADERS.fullmatch(name):
            if value:
                shell.find("loader-variable", f"{name}={value}")
        elif _COMMANDS.fullmatch(name) and value:
            shell.text(value, f"the variable {name}")
        elif name == "HISTFILE":
            shell.find("hide-tracks", f"{name}={value}")
        elif name == "PATH" and re.match(r"/tmp|/var/tmp|/dev/shm", value):  # noqa: S108 - a pattern
            shell.find("loader-variable", f"{name}={value}")


def _only_asks(name: str, arguments: Sequence[str]) -> bool:
    """Whether a program is asked for its help or version only: alone, or of one of its sub-commands."""
    if len(arguments) == 1:
        return arguments[0] in {"--help", "--version"}
    verbs = arguments[:-1]
    return name in rules.VALUES and arguments[-1:] == ["--help"] and all(_VERB.fullmatch(verb) for verb in verbs)


def _parts(text: str) -> list[str]:
    """A word and what follows ``=``, ``@`` or ``:`` in it, for ``--file=PATH`` and ``name=@PATH``."""
    if not text or len(text) > 4096 or "\n" in text:
        return []
    parts = [part for part in _SEPARATORS.split(text) if part]
    return list(dict.fromkeys([text, *parts]))


def _remote(path: str) -> bool:
    """Whether a word names a place on another machine, as rsync and scp write it."""
    head, colon, _ = path.partition(":")
    return bool(colon) and "/" not in head


def _quoted(word: str) -> str:
    return word if is_open(word) else "'" + word.replace("'", "'\\''") + "'"

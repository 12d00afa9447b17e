"""Commands that run other commands: sudo, env, xargs, find, parallel and their like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmos_plugin_security.options import read
from llmos_plugin_security.values import ANY, OUTPUT, SOME, STAR, is_open, plain

if TYPE_CHECKING:
    from llmos_plugin_security.commands_judged import Handler
    from llmos_plugin_security.shell import Shell

# What stands before the command: the options that take a value, and how many operands come first.
_PLAIN: dict[str, tuple[tuple[str, ...], int]] = {
    "sudo": (("-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R", "--user", "--group", "--chdir"), 0),
    "doas": (("-u", "-C"), 0),
    "pkexec": (("--user",), 0),
    "run0": (("-u", "--user"), 0),
    "gosu": ((), 1),
    "su-exec": ((), 1),
    "nice": (("-n", "--adjustment"), 0),
    "ionice": (("-c", "-n", "-p", "--class", "--classdata"), 0),
    "chrt": (("-T", "-P", "-D"), 1),
    "taskset": ((), 1),
    "timeout": (("-s", "-k", "--signal", "--kill-after"), 1),
    "gtimeout": (("-s", "-k", "--signal", "--kill-after"), 1),
    "nohup": ((), 0),
    "setsid": ((), 0),
    "stdbuf": (("-i", "-o", "-e", "--input", "--output", "--error"), 0),
    "unbuffer": ((), 0),
    "time": (("-f", "-o", "--format", "--output"), 0),
    "command": ((), 0),
    "builtin": ((), 0),
    "exec": (("-a",), 0),
    "coproc": ((), 0),
    "strace": (("-e", "-o", "-p", "-s", "-u", "-E", "-P"), 0),
    "ltrace": (("-e", "-o", "-p", "-s", "-u"), 0),
    "catchsegv": ((), 0),
    "valgrind": ((), 0),
    "caffeinate": (("-t", "-w"), 0),
    "systemd-run": (("-u", "-p", "-E", "--unit", "--property", "--uid", "--slice", "-M", "-H"), 0),
    "systemd-inhibit": (("--what", "--who", "--why", "--mode"), 0),
    "unshare": (("-R", "-w", "-S", "-G", "--root"), 0),
    "nsenter": (("-t", "-S", "-G", "--target"), 0),
    "chroot": (("--userspec", "--groups"), 1),
    "firejail": ((), 0),
    "bwrap": ((), 0),
    "fakeroot": (("-l", "-s", "-i", "-b"), 0),
    "proxychains": (("-f",), 0),
    "proxychains4": (("-f",), 0),
    "torsocks": ((), 0),
    "torify": ((), 0),
    "dbus-run-session": ((), 0),
    "xvfb-run": (("-n", "-s", "-e", "-f", "-p", "-w"), 0),
    "rlwrap": ((), 0),
    "setarch": ((), 1),
    "linux32": ((), 0),
    "linux64": ((), 0),
    "busybox": ((), 0),
    "toybox": ((), 0),
    "direnv": ((), 2),
    "dotenv": (("-f", "-e"), 0),
    "prlimit": (("-p",), 0),
    "cpulimit": (("-l", "-p", "-e"), 0),
    "numactl": (("-m", "-N", "-C"), 0),
    "perf": ((), 1),
    "hyperfine": (("-w", "-r", "-m", "-M", "-n", "-p", "-c", "-s", "-i"), 0),
    "entr": ((), 0),
    "retry": (("-t", "-d"), 0),
    "chpst": (("-u", "-U", "-e", "-b", "-d", "-m", "-o", "-n"), 0),
    "setpriv": ((), 0),
    "runcon": ((), 0),
    "capsh": ((), 0),
    "faketime": ((), 1),
}
_RUN_TOOLS = {
    "poetry": "run",
    "pipenv": "run",
    "uv": "run",
    "pdm": "run",
    "hatch": "run",
    "rye": "run",
    "bundle": "exec",
    "npm": "exec",
    "pnpm": "exec",
    "yarn": "exec",
    "mise": "exec",
    "asdf": "exec",
    "conda": "run",
    "rbenv": "exec",
    "pyenv": "exec",
}
_TESTS = re.compile(
    r"-(?:i?name|i?path|i?regex|i?wholename|[acm]?newer\w*|[acm]min|[acm]time|size|empty|perm|user|group|"
    r"uid|gid|inum|links|samefile|lname|nouser|nogroup)"
)
_FIND_VALUES = re.compile(
    r"-(?:i?name|i?path|i?regex|i?wholename|[acm]?newer\w*|[acm]min|[acm]time|size|perm|user|group|"
    r"uid|gid|inum|links|samefile|i?lname|type|xtype|maxdepth|mindepth|regextype|fstype|printf|used|"
    r"context)"
)


def wrapper(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """A command before another command."""
    values, skipped = _PLAIN[name]
    if name in {"command", "type"} and arguments[:1] and re.fullmatch(r"-[vV]+", arguments[0]):
        return "".join(f"/usr/bin/{one}\n" for one in arguments[1:])
    if name == "exec" and not arguments:
        return ""
    if name == "coproc" and arguments[1:2] == ["{"]:
        arguments = arguments[1:]
    options = read(arguments, values, stop=True)
    if name == "sudo" and options.has("-e", "--edit"):
        for path in options.operands:
            shell.commands.writes(shell, path, path)
        return None
    for path in options.values("--output", "-o") if name in {"time", "strace", "ltrace"} else ():
        shell.commands.writes(shell, path, path)
    return _inner(shell, options.operands[skipped:], stdin)


def _inner(shell: Shell, words: list[str], stdin: str) -> str | None:
    """The command that stands in words, after assignments."""
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        variable, _, value = words[0].partition("=")
        shell.commands.variable(shell, variable, value)
        words = words[1:]
    if words and words[0] == "{":
        words = words[1:]
    return shell.commands.run(shell, words, stdin) if words else None


def env(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``env``: assignments, then a command; with ``-S`` a text that is split."""
    options = read(arguments, ("-u", "--unset", "-C", "--chdir", "-S", "--split-string"), stop=True)
    texts = options.values("-S", "--split-string")
    words = options.operands
    with shell.subshell():
        for directory in options.values("-C", "--chdir"):
            shell.scope.directory = shell.at(directory).path
        if texts:
            return shell.text(" ".join([*texts, *words]), "env -S", stdin)
        return _inner(shell, words, stdin)


def xargs(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``xargs``: a command with words from the input."""
    values = (
        "-I",
        "-L",
        "-n",
        "-P",
        "-s",
        "-d",
        "-E",
        "-a",
        "-J",
        "-R",
        "--max-args",
        "--max-procs",
        "--delimiter",
        "--arg-file",
        "--max-lines",
        "--max-chars",
        "--process-slot-var",
    )
    options = read(
        [("-I" + (a.partition("=")[2] or "{}") if a.startswith(("--replace", "--repl")) else a) for a in arguments],
        values,
        stop=True,
    )
    for path in options.values("-a", "--arg-file"):
        shell.commands.reads(shell, path, path)
        stdin = shell.scope.files.get(shell.at(path).path, OUTPUT)
    command = options.operands or ["echo"]
    given = stdin.replace("\0", "\n").split() or [OUTPUT]
    mark = next(iter(options.values("-I", "-J")), "{}" if options.has("-i") else None)
    if mark is None:
        return shell.commands.run(shell, [*command, *given[:200]], "")
    for word in dict.fromkeys(given[:64]):
        shell.commands.run(shell, [part.replace(mark, word) for part in command], "")
    return None


def parallel(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """GNU ``parallel``: a shell text with values after ``:::`` or from the input."""
    cut = next((at for at, word in enumerate(arguments) if word.startswith(":::")), len(arguments))
    values = (
        "-j",
        "--jobs",
        "-P",
        "-a",
        "--arg-file",
        "--results",
        "--joblog",
        "-I",
        "--colsep",
        "-n",
        "-N",
        "--tmpdir",
        "-S",
        "--sshlogin",
        "--delay",
        "--timeout",
        "--retries",
        "-L",
        "-d",
        "--delimiter",
        "--tagstring",
        "--workdir",
    )
    options = read(arguments[:cut], values, stop=True)
    given = [word for word in arguments[cut:] if not word.startswith(":::")] or stdin.split() or [OUTPUT]
    command = options.operands
    if not command:
        for word in arguments[cut + 1 :] or [stdin]:
            shell.text(word, "parallel")
        return None
    for word in dict.fromkeys(given[:64]):
        filled = [re.sub(r"\{[./#%0-9]*\}", lambda _, word=word: word, plain(part)) for part in command]  # type: ignore[misc]
        text = " ".join(filled if filled != command else [*filled, word])
        if is_open(text):
            shell.commands.run(shell, text.split(), "")
        else:
            shell.text(text, "parallel")
    return None


def find(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:  # noqa: C901 - one branch an option
    """``find``: what it deletes, writes and runs for what it finds."""
    at = 0
    while at < len(arguments) and arguments[at] in {"-H", "-L", "-P", "-O1", "-O2", "-O3", "-D"}:
        at += 2 if arguments[at] == "-D" else 1
    first = at
    while at < len(arguments) and not arguments[at].startswith(("-", "(", "!", ")")):
        at += 1
    roots = arguments[first:at] or ["."]
    expression = arguments[at:]
    names: list[str] = []
    narrowed = negated = False
    found: list[str] = []
    waiting = expression[::-1]
    while waiting:
        word = waiting.pop()
        if word in {"-o", "-or", ","}:
            narrowed = False
        narrowed = narrowed or _TESTS.fullmatch(word) is not None
        found = _found(roots, names, narrowed=narrowed)
        if word in {"-name", "-iname"} and waiting and not negated:
            names.append(waiting[-1].replace("*", STAR).replace("?", ANY).replace("[", ANY))
        negated = word in {"!", "-not"}
        if word in {"-exec", "-execdir", "-ok", "-okdir"}:
            _executed(shell, waiting, found)
        elif word == "-delete":
            for path in found:
                shell.commands.deletes(shell, path, f"find {' '.join(roots)} ... -delete")
        elif word in {"-fprint", "-fprint0", "-fls", "-fprintf"} and waiting:
            shell.commands.writes(shell, waiting[-1], f"{word} {waiting[-1]}")
        elif _FIND_VALUES.fullmatch(word) and waiting:
            waiting.pop()
    return "".join(f"{path}\n" for path in _found(roots, names, narrowed=narrowed))


def _found(roots: list[str], names: list[str], *, narrowed: bool) -> list[str]:
    """Paths that stand for what is found: all below the roots, some, or those of the names."""
    marks = [f"{SOME}/{name}" for name in names] if narrowed and names else [SOME if narrowed else STAR]
    return [f"{root.rstrip('/')}/{mark}" for root in roots for mark in marks]


def _executed(shell: Shell, waiting: list[str], found: list[str]) -> None:
    command: list[str] = []
    while waiting:
        word = waiting.pop()
        if word == ";" or (word == "+" and command and command[-1] == "{}"):
            break
        command.append(word)
    for path in found:
        words = [path if part == "{}" else part.replace("{}", path) for part in map(plain, command)]
        if words:
            shell.commands.run(shell, words, "")


def fd(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``fd``: a pattern, directories, and after ``-x`` a command for what is found."""
    starts = {"-x", "--exec", "-X", "--exec-batch"}
    cut = next((at for at, word in enumerate(arguments) if word in starts), len(arguments))
    values = (
        "-e",
        "-t",
        "-d",
        "-E",
        "-S",
        "-j",
        "-c",
        "--extension",
        "--type",
        "--max-depth",
        "--exclude",
        "--size",
        "--changed-within",
        "--changed-before",
        "-o",
        "--owner",
        "--search-path",
        "--base-directory",
    )
    options = read(arguments[:cut], values)
    mark = SOME if options.operands[:1] not in ([], ["."], [""]) or options.has("-e") else STAR
    found = [f"{root.rstrip('/')}/{mark}" for root in options.operands[1:] or ["."]]
    command = list(map(plain, arguments[cut + 1 :]))
    for path in found if command else ():
        marked = any(re.search(r"\{[./]*\}", part) for part in command)
        words = [re.sub(r"\{[./]*\}", lambda _, path=path: path, part) for part in command]  # type: ignore[misc]
        shell.commands.run(shell, words if marked else [*words, path], "")
    return "".join(f"{path}\n" for path in found)


def runner(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``poetry run``, ``bundle exec`` and their like; everything else they do themselves."""
    if arguments[:1] == [_RUN_TOOLS[name]]:
        options = read(arguments[1:], ("-n", "--name", "-p", "--python", "--with", "-C", "-e"), stop=True)
        return _inner(shell, options.operands, stdin)
    shell.commands.by_profile(shell, name, arguments)
    return None


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_PLAIN, wrapper),
    **dict.fromkeys(_RUN_TOOLS, runner),
    "env": env,
    "xargs": xargs,
    "gxargs": xargs,
    "parallel": parallel,
    "find": find,
    "gfind": find,
    "fd": fd,
    "fdfind": fd,
}

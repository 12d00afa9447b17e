"""Programs that run code they are given: shells, Python, Perl, Node and their like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmos_plugin_security import code, pycode
from llmos_plugin_security.options import read
from llmos_plugin_security.values import NETWORK, OUTPUT, as_text, is_open, shown

if TYPE_CHECKING:
    from llmos_plugin_security.commands_judged import Handler
    from llmos_plugin_security.shell import Shell

SHELLS = ("bash", "sh", "zsh", "dash", "ksh", "mksh", "ash", "fish", "rbash", "csh", "tcsh", "yash", "hush", "pwsh")
_CODE_OPTIONS: dict[str, tuple[str, ...]] = {
    "python": ("-c",),
    "pypy": ("-c",),
    "ipython": ("-c",),
    "perl": ("-e", "-E"),
    "ruby": ("-e",),
    "node": ("-e", "--eval", "-p", "--print", "-pe"),
    "nodejs": ("-e", "--eval", "-p", "--print"),
    "bun": ("-e", "--eval", "-p", "--print"),
    "php": ("-r", "-B", "-R", "-E"),
    "lua": ("-e",),
    "luajit": ("-e",),
    "Rscript": ("-e",),
    "R": ("-e",),
    "julia": ("-e", "--eval", "-E", "--print"),
    "osascript": ("-e",),
    "elixir": ("-e", "--eval"),
    "groovy": ("-e",),
    "scala": ("-e",),
    "swift": ("-e",),
    "ghc": ("-e",),
    "guile": ("-c",),
    "raku": ("-e",),
    "crystal": (),
    "tclsh": (),
    "expect": ("-c",),
    "erl": ("-eval",),
    "emacs": ("--eval", "--execute"),
    "deno": (),
    "octave": ("--eval",),
    "clojure": ("-e",),
    "bb": ("-e",),
    "racket": ("-e",),
    "sbcl": ("--eval",),
    "jshell": (),
}
_VALUES: dict[str, tuple[str, ...]] = {
    "python": ("-m", "-W", "-X"),
    "pypy": ("-m", "-W", "-X"),
    "perl": ("-I",),
    "ruby": ("-I", "-r", "-C"),
    "node": ("-r", "--require", "--import", "--loader", "--title"),
    "php": ("-d", "-c", "-f", "-S", "-t"),
}


def shell_program(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``bash -c CODE``, ``bash FILE``, ``... | bash``."""
    values = ("-o", "-O", "+o", "+O", "--rcfile", "--init-file", "--command", "-C")
    at = 0
    while at < len(arguments) and arguments[at][:1] in "-+" and arguments[at] not in {"-", "--"}:
        word = arguments[at]
        if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*|--command", word) and not word.startswith("--rc"):
            return _code(shell, name, arguments[at + 1 :], stdin)
        if word == "-s":
            break
        if word in {"--rcfile", "--init-file"} and at + 1 < len(arguments):
            run_file(shell, arguments[at + 1], stdin)
        at += 2 if word in values else 1
    rest = [word for word in arguments[at:] if word not in {"-s", "-", "--"}]
    if at < len(arguments) and arguments[at] in {"-s", "-"}:
        rest = []
    if rest:
        with shell.subshell():
            shell.scope.arguments = rest[1:]
            return run_file(shell, rest[0], stdin)
    return from_input(shell, name, stdin)


def _code(shell: Shell, name: str, words: list[str], stdin: str) -> str | None:
    while words and words[0].startswith("-") and len(words) > 1:
        words = words[1:]
    if not words:
        return None
    with shell.subshell():
        shell.scope.arguments = words[2:]
        shell.scope.variables["0"] = words[1] if len(words) > 1 else name
        shell.scope.functions.clear()
        return shell.text(words[0], f"{name} -c", stdin)


def from_input(shell: Shell, name: str, stdin: str) -> str | None:
    """A shell that reads its commands."""
    if is_open(stdin):
        shell.find("code-from-network" if NETWORK in stdin else "undecided-code", f"... | {name}")
        return OUTPUT
    return shell.text(stdin, f"the input of {name}") if stdin.strip() else None


def run_file(shell: Shell, path: str, stdin: str) -> str | None:
    """A script: what the command itself has written, or reads, is judged; others are the project's."""
    if path in {"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "-"}:
        return from_input(shell, path, stdin)
    place = shell.at(path)
    text = shell.written(place.path)
    if text is not None:
        return shell.text(text, f"the file {shown(path, 40)}")
    if place.is_shared or path.startswith(("/dev/fd/", "/proc/")):
        shell.find("run-temporary", path)
    elif is_open(path) and len(path) == 1:
        shell.find("undecided-code", path)
    shell.commands.reads(shell, path, path)
    return None


def source_file(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``source FILE`` and ``. FILE``."""
    return run_file(shell, arguments[0], stdin) if arguments else None


def evaluate(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``eval``: its words are a text of shell."""
    return shell.text(" ".join(arguments), "eval", stdin) if arguments else None


def trap(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``trap CODE SIGNAL``."""
    operands = read(arguments, ()).operands
    if len(operands) > 1 and operands[0] != "-":
        shell.text(operands[0], "trap")
    return None


def language(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``python -c CODE`` and the same of other languages, their scripts and their input."""
    name = name if name in _CODE_OPTIONS else re.sub(r"[\d.]+$", "", name)
    if name == "deno":
        return _deno(shell, arguments, stdin)
    options = _CODE_OPTIONS[name]
    given = read(arguments, (*options, *_VALUES.get(name, ())), stop=name != "perl")
    texts = given.values(*options)
    if name in {"python", "pypy"} and (module := given.values("-m")):
        at = next((n for n, word in enumerate(arguments) if word in {"-m", f"-m{module[0]}"}), 0)
        return _module(shell, module[0], arguments[at + 1 if arguments[at] != "-m" else at + 2 :], stdin)
    for text in texts:
        _judge(shell, name, text)
    operands = given.operands
    if not texts and (not operands or operands[0] in {"-", "/dev/stdin"}):
        _from_input(shell, name, stdin)
    elif not texts:
        path = operands[0]
        written = shell.written(shell.at(path).path)
        if written is not None:
            _judge(shell, name, written)
        else:
            run_file(shell, path, stdin)
    edits = name in {"perl", "ruby"} and any(re.match(r"-[a-zA-Z]*i", word) for word in arguments)
    for path in operands[0 if texts else 1 :]:
        if edits:
            shell.commands.writes(shell, path, f"{name} -i {path}")
        else:
            shell.commands.mentions(shell, path)
    return None


def _from_input(shell: Shell, name: str, stdin: str) -> None:
    if is_open(stdin):
        shell.find("code-from-network" if NETWORK in stdin else "undecided-code", f"... | {name}")
    elif stdin.strip():
        _judge(shell, name, stdin)


def _deno(shell: Shell, arguments: list[str], stdin: str) -> str | None:
    if arguments[:1] == ["eval"]:
        for text in read(arguments[1:]).operands:
            _judge(shell, "deno", text)
    elif arguments[:2] == ["run", "-"]:
        _from_input(shell, "deno", stdin)
    elif any(word.startswith(("http://", "https://")) for word in arguments):
        shell.find("code-from-network", " ".join(["deno", *arguments]))
    return None


def _module(shell: Shell, module: str, arguments: list[str], stdin: str) -> str | None:
    """``python -m MODULE`` is the program of that name."""
    if module in {"pip", "pytest", "venv", "build", "ruff", "black", "mypy", "twine"}:
        return shell.commands.run(shell, [module, *arguments], stdin)
    if module == "http.server":
        _serve(shell, arguments)
    for word in arguments:
        shell.commands.operand(shell, module, word)
    if module in {"virtualenv", "zipfile", "tarfile"}:
        for word in read(arguments, ("-p", "--python", "--prompt")).operands:
            shell.commands.writes(shell, word, f"{module} {word}")
    return None


def _serve(shell: Shell, arguments: list[str]) -> None:
    options = read(arguments, ("-b", "--bind", "-d", "--directory", "-p", "--protocol"))
    for path in options.values("-d", "--directory"):
        shell.commands.reads(shell, path, path, recursive=True)
    if not {"127.0.0.1", "localhost", "::1"} & {*options.values("-b", "--bind")}:
        shell.find("serve", " ".join(["http.server", *arguments]))


def _judge(shell: Shell, name: str, text: str) -> None:
    if is_open(text):
        shell.find("code-from-network" if NETWORK in text else "undecided-code", text, name)
        return
    with shell.within(f"{name} code"):
        if name in {"python", "pypy", "ipython"}:
            pycode.judge(shell, as_text(text))
        else:
            code.judge(shell, name, as_text(text))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(SHELLS, shell_program),
    "source": source_file,
    ".": source_file,
    "eval": evaluate,
    "trap": trap,
    **dict.fromkeys(_CODE_OPTIONS, language),
}

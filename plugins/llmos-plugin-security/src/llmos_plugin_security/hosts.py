"""Programs within which others run: containers, editors, debuggers, shells of databases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmos_plugin_security import rules
from llmos_plugin_security.options import read
from llmos_plugin_security.values import OUTPUT, UNKNOWN, as_text, is_open

if TYPE_CHECKING:
    from llmos_plugin_security.shell import Shell


def container(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``docker run``: what of this machine is given to the container."""
    values = (
        "-v",
        "--volume",
        "--mount",
        "-e",
        "--env",
        "--name",
        "-p",
        "--publish",
        "-w",
        "--workdir",
        "-u",
        "--user",
        "--network",
        "--net",
        "--entrypoint",
        "-l",
        "--label",
        "--pid",
        "--ipc",
        "--uts",
        "--cap-add",
        "--device",
        "--security-opt",
        "--env-file",
        "-h",
        "--hostname",
        "--platform",
        "-m",
        "--memory",
        "--cpus",
        "--gpus",
        "--add-host",
        "--restart",
        "--userns",
        "--cgroupns",
        "-f",
        "--file",
        "-t",
        "--tag",
        "--build-arg",
        "--target",
    )
    words = read(arguments, rules.VALUES["docker"], stop=True).operands
    words = words[1:] if words[:1] in (["container"], ["compose"]) else words
    if words[:1] not in (["run"], ["create"], ["exec"]):
        for path in read(arguments, values).values("-f", "--file"):
            shell.commands.mentions(shell, path)
        return OUTPUT
    options = read(words[1:], values, stop=True)
    for mount in options.values("-v", "--volume"):
        _mount(shell, mount.partition(":")[0], mount)
    for mount in options.values("--mount"):
        given = dict(part.partition("=")[::2] for part in mount.split(","))
        _mount(shell, given.get("source", given.get("src", "")), mount)
    if options.has("--privileged", "--device", "--cap-add") or "host" in options.values(
        "--pid", "--ipc", "--uts", "--userns", "--cgroupns"
    ):
        shell.find("container-host", " ".join([name, *arguments]))
    if words[0] == "exec" and len(options.operands) > 1:
        with shell.within("in the container"):
            shell.commands.run(shell, options.operands[1:], stdin)
    return OUTPUT


def _mount(shell: Shell, path: str, part: str) -> None:
    if path.startswith(("/", "~", ".", "$")) or is_open(path):
        place = shell.at(path)
        shell.commands.reads(shell, path, part, recursive=True)
        inside = place.kind in {"inside", "everything", "scratch", "temporary"}
        if not inside and place.path != shell.world.real_root:
            shell.find("container-host", part, place.path)


_EDITS = re.compile(r"\+?:?\s*[\d,%$.']*\s*(?:w|wq|x|sav|saveas|write|wr|wri)!?\s+(?:\+\+\S+\s+)?([^!\s]\S*)")
_PIPES = re.compile(r"\+?:?\s*[\d,%$.']*\s*(?:w|r|read|write|e|edit)?\s*!(.+)")
_ESCAPE = re.compile(
    r"^\s*:?\s*(?:\\?!|\\!|\.shell\s|\.system\s|shell\s|system\s|call\s+system\(|silent\s*!)\s*(.*)", re.DOTALL
)


_EDITORS = {"vim", "vi", "nvim", "ex", "ed", "view", "rview"}


def with_escape(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """Editors, debuggers and database shells: their commands may run shell."""
    shell.commands.by_profile(shell, name, arguments)
    for pager in read(arguments, ("-P", "--pager")).values("-P", "--pager") if name == "man" else ():
        shell.text(pager, "man runs")
    for word in [*arguments, *as_text(stdin).splitlines()]:
        if not shell.fits(word):
            continue
        word = " ".join(word.split())  # noqa: PLW2901 - the patterns are quick on single blanks only
        text = word.lstrip("+")
        found = _ESCAPE.match(text)
        if name in _EDITORS and (written := _EDITS.match(word)):
            shell.commands.writes(shell, written[1], f"{name} {word}")
        if name in _EDITORS and not found and (piped := _PIPES.match(word)):
            shell.text(piped[1], f"{name} runs")
        if found:
            shell.text(found[1].strip("'\")") or UNKNOWN, f"{name} runs")
        elif name in {"vim", "vi", "nvim", "ex", "ed", "view"} and re.match(
            r"\+?:?(?:lua|python3?|perl|ruby|call|exe)\b", word
        ):
            shell.find("undecided-code", word, f"{name} runs code")
        elif name == "gdb" and re.match(r"\s*(?:python|py|call|compile)\b", word):
            shell.find("undecided-code", word, "gdb runs code")
    return OUTPUT

"""Code of languages that are not parsed here: what it calls is found by name, what it says by its strings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos_plugin_security.shell import Shell

_STRING = re.compile(r"""'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`|%w\[([^\]\[]*)\]""")
_CALL = r"(?<![\w.])(?:[A-Za-z_][\w:]{0,80}(?:\([^()]*\))?(?:\.|::|->))*"
_RUNS = re.compile(
    rf"""{_CALL}(?:system|exec|execl|execv|execvp|execSync|spawn|spawnSync|execFile|execFileSync|popen|popen2e?|capture[23]e?|
    shell_exec|passthru|proc_open|pcntl_exec|os\.execute|io\.popen|Process\.(?:spawn|run)|Command|syscall|shell|
    do\s+shell\s+script|doShellScript|shell-command(?:-to-string)?|call-process|start-process|run|readpipe|os:cmd|
    run-program|processBuilder|system!|pipe)\b""",
    re.VERBOSE,
)
_SHELL_QUOTES = re.compile(r"`([^`]+)`|(?:qx|%x)\s*([{(\[|/!])(.+?)[})\]|/!]", re.DOTALL)
_QUOTE = re.compile(r"qx|%x")
MAX_QUOTES = 30
_DELETES = re.compile(
    r"\b(?:unlink(?:Sync)?|rm(?:dir)?(?:Sync)?|rm_rf|rm_r|rmtree|remove(?:Sync|_dir|_file|_tree|_entry_secure)?|rimraf|"
    r"delete(?:-file|-directory|IfExists|Recursively)?|removeDirectory\w*|File\.delete|emptyDir(?:Sync)?)\b"
)
_WRITES = re.compile(
    r"\b(?:writeFile(?:Sync)?|appendFile(?:Sync)?|createWriteStream|writeTextFile(?:Sync)?|file_put_contents|fwrite|"
    r"File\.write|IO\.write|fopen|File\.open|writeLines|rename(?:Sync)?|copyFile(?:Sync)?|symlink(?:Sync)?|chmod(?:Sync)?|"
    r"chown(?:Sync)?|truncate(?:Sync)?|cp(?:Sync|_r)?|mv|write\.csv|write\.table|sink|spit|write-region)\b|"
    r"\bopen\s*\(?[^;]{0,300}[\"'][+]?[>wa]"
)
_HIDES = re.compile(
    r"\b(?:eval|Function|atob|fromCharCode|b64decode|decode64|base64_decode|unpack|pack|hex2bin|decodeURIComponent|"
    r"str_rot13|instance_eval|class_eval|assert|create_function|vm\.run\w+|string\.char|loadstring|load|chr|dofile|"
    r"require\s*\(\s*[^'\"\s)])"
)
_NETWORK = re.compile(
    r"\b(?:TCPSocket|Socket|fsockopen|net\.(?:connect|createConnection|Socket)|IO::Socket|LWP|HTTP::|Net::HTTP|open-uri|"
    r"https?\.(?:get|request)|fetch|curl_exec|axios|XMLHttpRequest|socket\.tcp|download\.file|WebSocket)"
)
_ENVIRONMENT = re.compile(
    r"process\.env\b(?!\.\w)|\bENV\.(?:to_h|inspect|each)|%ENV|\$_ENV\b|getenv\(\s*\)|Deno\.env\.toObject"
)


def judge(shell: Shell, name: str, text: str) -> None:
    """Judge code: what it runs as shell, deletes, writes, hides, and which secrets it names."""
    if not shell.fits(text):
        return
    strings = [next((part for part in found.groups() if part), "") for found in _STRING.finditer(text)]
    bare = _STRING.sub('""', text)
    for part in strings:
        shell.commands.mentions(shell, part)
    if name in {"ruby", "perl", "php", "bb"}:
        _quoted(shell, name, text)
    if _RUNS.search(bare):
        _runs(shell, name, text, strings)
    for pattern, effect in ((_DELETES, "delete"), (_WRITES, "write")):
        if pattern.search(bare) or (effect == "write" and pattern.search(text)):
            _touches(shell, name, text, strings, effect)
    if _HIDES.search(bare):
        shell.find("undecided-code", text, f"{name} runs code that is not in sight")
    if _NETWORK.search(bare):
        shell.find("network-code", text)
    if _ENVIRONMENT.search(bare):
        shell.find("read-environment", text)


def _quoted(shell: Shell, name: str, text: str) -> None:
    """Backquotes and their like."""
    if len(_QUOTE.findall(text)) > MAX_QUOTES:
        shell.find("too-complex", text, f"more than {MAX_QUOTES} commands in {name}")
        return
    for found in _SHELL_QUOTES.finditer(text):
        shell.text(found[1] or found[3], f"{name} runs")


def _runs(shell: Shell, name: str, text: str, strings: list[str]) -> None:
    """A program is started: by a text of shell, or by a name with arguments."""
    found = _RUNS.search(text)
    rest = text[found.end() :] if found else text
    literal = re.match(r"[\s(\[]*(?:/\w+/\w+\s)?", rest)
    begins = literal is not None and rest[literal.end() : literal.end() + 1] in {"'", '"', "`"}
    if not begins or "${" in rest or "#{" in rest:
        shell.find("undecided-code", text, f"{name} starts a program that is not in sight")
        return
    known = [part for part in strings if part and not re.fullmatch(r"(?:node:)?child_process|\w+:\w+", part)]
    for at, part in enumerate(known):
        shell.text(part, f"{name} runs")
        if at == 0 and len(known) > 1:
            shell.commands.run(shell, [word for one in known for word in (one.split() if one == part else [one])], "")
        if at > 8:
            break


def _touches(shell: Shell, name: str, text: str, strings: list[str], effect: str) -> None:
    """Files are deleted or written: those of its strings that may be paths."""
    paths = [part for part in strings if part and not re.search(r"[\n$#{}*<>|;]", part) and " " not in part]
    paths = [part for part in paths if "/" in part or "." in part or part == "~"]
    if not paths:
        shell.find(f"{effect}-unknown", text, f"{name} does it where no path is in sight")
    for path in paths:
        if effect == "delete":
            shell.commands.deletes(shell, path, text)
        else:
            shell.commands.writes(shell, path, text)

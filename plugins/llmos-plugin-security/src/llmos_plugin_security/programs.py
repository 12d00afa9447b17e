"""Programs with a language of their own for what they touch and run: dd, tar, git, sed, awk, docker and others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llmos_plugin_security import git, hosts, rules
from llmos_plugin_security.addresses import is_here, is_metadata
from llmos_plugin_security.options import Options, read
from llmos_plugin_security.scripts import awk, sed
from llmos_plugin_security.values import NETWORK, OUTPUT, UNKNOWN, as_text, is_open

if TYPE_CHECKING:
    from llmos_plugin_security.commands_judged import Handler
    from llmos_plugin_security.shell import Shell

_LEADS = ("-x", "--proxy", "--preproxy", "--connect-to", "--resolve", "-L", "--location", "-K", "--config")
_UPLOADS = {"nc", "ncat", "netcat", "socat", "telnet", "ftp", "tftp", "mail", "mailx", "sendmail", "mutt", "websocat"}


def dd(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``dd if=... of=...``."""
    given = dict(word.partition("=")[::2] for word in arguments)
    if "of" in given:
        shell.commands.writes(shell, given["of"], f"of={given['of']}")
        endless = given.get("if", "").startswith(("/dev/zero", "/dev/urandom", "/dev/random"))
        if endless and "count" not in given:
            shell.find("endless", " ".join(["dd", *arguments]))
    if "if" in given:
        shell.commands.reads(shell, given["if"], f"if={given['if']}")
    return OUTPUT


def tar(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:  # noqa: C901 - one branch an option
    """``tar``: the programs it runs, the files it packs, where it unpacks."""
    if arguments and re.fullmatch(r"[A-Za-z]+", arguments[0]):
        arguments = ["-" + arguments[0], *arguments[1:]]
        if arguments[0].endswith("f") is False and "f" in arguments[0]:
            arguments[0] = arguments[0].replace("f", "") + "f"
    values = (
        "-f",
        "--file",
        "-C",
        "--directory",
        "-T",
        "--files-from",
        "-X",
        "--exclude-from",
        "--exclude",
        "-I",
        "--use-compress-program",
        "--to-command",
        "--checkpoint-action",
        "--rsh-command",
        "--transform",
        "-N",
        "-g",
        "--info-script",
        "--new-volume-script",
        "-F",
        "--one-top-level",
        "--strip-components",
        "-b",
        "-K",
    )
    options = read(arguments, values)
    for program in options.values(
        "-I", "--use-compress-program", "--to-command", "--rsh-command", "-F", "--info-script", "--new-volume-script"
    ):
        shell.text(program, "tar runs")
    for action in options.values("--checkpoint-action"):
        if action.startswith("exec="):
            shell.text(action[5:], "tar runs")
    extracts = options.has("-x", "--extract", "--get")
    here = ["."] if extracts and not options.has("-O", "--to-stdout") else []
    archives = options.values("-f", "--file")
    with shell.subshell():
        for directory in options.values("-C", "--directory", "--one-top-level") or here:
            if extracts:
                shell.commands.writes(shell, directory, f"-C {directory}")
            place = shell.at(directory)
            shell.scope.directory = UNKNOWN if is_open(place.path) else place.path
        if extracts and options.has("-P", "--absolute-names"):
            shell.find("write-unknown", " ".join(["tar", *arguments]), "members may lie anywhere")
        for path in [] if extracts else options.operands:
            shell.commands.reads(shell, path, path, recursive=True)
            if options.has("--remove-files"):
                shell.commands.deletes(shell, path, f"--remove-files {path}")
    for path in archives:
        if path != "-" and options.has("-c", "-r", "-u", "-A", "--create", "--append", "--update"):
            shell.commands.writes(shell, path, f"-f {path}")
    return OUTPUT


def transfer(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:  # noqa: C901 - one branch an option
    """``curl``, ``wget``, ``nc`` and the like: what they send, where to, and what they keep."""
    options = read(arguments, rules.profiles()[name].get("values", ()))
    shell.commands.by_profile(shell, name, arguments)
    for word in (*options.operands, *options.values("--url")):
        if is_metadata(as_text(word)):
            shell.find("metadata", word)
    _sent(shell, name, options)
    if name in _UPLOADS and stdin:
        shell.find("upload", f"... | {name}")
    if any(OUTPUT in word for word in options.operands):
        shell.find("upload", " ".join(options.operands), "the address holds what a command has printed")
    for path in options.values("-o", "-O", "--output", "--output-document", "--out"):
        if path != "-":
            shell.scope.files[shell.at(path).path] = NETWORK
    if name in {"wget", "wget2", "aria2c", "axel"} or options.has("-O", "--remote-name"):
        for url in options.operands:
            last = as_text(url).partition("?")[0].rstrip("/").rpartition("/")[2]
            for directory in (*options.values("-P", "--directory-prefix", "-d", "--dir", "--output-dir"), "."):
                if last:
                    shell.scope.files.setdefault(shell.at(f"{directory}/{last}").path, NETWORK)
    return NETWORK


def _sent(shell: Shell, name: str, options: Options) -> None:
    """Files whose contents are sent."""
    profile = rules.profiles()[name]
    files = [(path, path) for path in options.values(*profile.get("files", ()))]
    for value in options.values(*profile.get("uploads", ())):
        path = value.partition("=")[2] if "=@" in value or "=<" in value else value
        if path.startswith(("@", "<")):
            files.append((path[1:], value))
    for path, part in files:
        if not _stays_here(options):
            shell.find("upload", f"{name} sends {path}")
        shell.commands.reads(shell, path, part)


def _stays_here(options: Options) -> bool:
    """Whether all that is addressed is this machine itself, and nothing leads elsewhere."""
    addressed = [*options.operands, *options.values("--url")]
    return bool(addressed) and not options.has(*_LEADS) and all(is_here(word) for word in addressed)


def ssh(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``ssh``: the programs of its options, and what it runs elsewhere."""
    values = (
        "-b",
        "-c",
        "-D",
        "-E",
        "-e",
        "-F",
        "-I",
        "-i",
        "-J",
        "-L",
        "-l",
        "-m",
        "-O",
        "-o",
        "-p",
        "-Q",
        "-R",
        "-S",
        "-W",
        "-w",
        "-P",
    )
    options = read(arguments, values, stop=name in {"ssh", "mosh", "autossh"})
    for setting in options.values("-o"):
        key, _, command = setting.partition("=")
        if key.strip().lower() in {"proxycommand", "localcommand", "knownhostscommand"}:
            shell.text(command or key.partition(" ")[2], f"ssh option {key}")
    for path in options.values("-S") if name in {"scp", "sftp"} else ():
        shell.text(path, f"{name} -S")
    if name in {"scp", "sftp"}:
        for path in options.operands:
            shell.commands.reads(shell, path, path, recursive=options.has("-r"))
        if options.operands and ":" not in options.operands[-1]:
            shell.commands.writes(shell, options.operands[-1], options.operands[-1])
    elif len(options.operands) > 1:
        shell.text(" ".join(options.operands[1:]), f"on {options.operands[0]}")
    shell.find("remote-shell", " ".join([name, *arguments]))
    return NETWORK


def rsync(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``rsync``: its transport, what it deletes, what it sends."""
    options = read(arguments, rules.profiles()["rsync"]["values"])
    for program in options.values("-e", "--rsh", "--rsync-path"):
        shell.text(program, "rsync runs")
    shell.commands.by_profile(shell, name, arguments)
    if options.operands and any(given.startswith("--del") for given, _ in options.given):
        shell.commands.deletes(shell, options.operands[-1], f"rsync --delete {options.operands[-1]}")
    if options.operands and re.match(r"[\w.@-]+:|rsync://", options.operands[-1]):
        shell.find("upload", f"rsync to {options.operands[-1]}")
    return OUTPUT


def script(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``script -c CODE FILE``, ``watch CODE``, ``su -c CODE``, ``flock FILE CODE`` and the like."""
    options = read(
        arguments,
        ("-c", "--command", "-n", "--interval", "-s", "--shell", "-w", "-E", "-o", "-T", "-u", "-d"),
        stop=name != "script",
    )
    texts = options.values("-c", "--command")
    for text in texts:
        shell.text(text, f"{name} runs")
    words = options.operands
    if name == "script":
        for path in words:
            shell.commands.writes(shell, path, f"script {path}")
    elif name == "flock" and not texts:
        words = words[1:]
        if words:
            shell.commands.run(shell, words, stdin)
    elif name in {"watch", "ifne", "chronic", "nodemon"} and words:
        shell.text(" ".join(words), f"{name} runs")
    return OUTPUT


def tester(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``npx``, ``npm``, ``make`` and others that run what the project says: their settings on the command line."""
    shell.commands.by_profile(shell, name, arguments)
    for path in read(arguments, ("-f", "--file", "--makefile")).values("-f", "--file", "--makefile"):
        shell.commands.executes(shell, path)
    for word in arguments:
        variable, equals, value = word.partition("=")
        if name in {"make", "gmake"} and equals and variable in {"SHELL", ".SHELLFLAGS"} and "/" in value:
            shell.commands.executes(shell, value)
    for text in read(arguments, ("-c", "--call", "--eval", "-E")).values("-c", "--call", "--eval"):
        if name in {"npx", "npm", "make", "gmake", "tmux", "screen"}:
            shell.text(re.sub(r"^\$\(shell\s(.*)\)$", r"\1", text), f"{name} runs")
    if name in {"tmux", "screen"}:
        for word in arguments:
            if " " in word:
                shell.text(word, f"{name} runs")
    return OUTPUT


def keygen(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``ssh-keygen``: it writes a key, unless it is asked about one."""
    options = read(arguments, rules.profiles()["ssh-keygen"]["values"])
    asks = options.has("-l", "-B", "-F", "-y", "-e", "-L", "-Q")
    for path in options.values("-f") or ([] if asks else ["~/.ssh/id".replace("~", shell.home)]):
        if asks:
            shell.commands.reads(shell, path, path)
        else:
            shell.commands.writes(shell, path, path)
    return OUTPUT


def crontab(shell: Shell, name: str, arguments: list[str], stdin: str) -> str | None:
    """``crontab``: all but listing."""
    if "-l" not in arguments:
        shell.find("persistence", " ".join([name, *arguments]))
    return OUTPUT


HANDLERS: dict[str, Handler] = {
    "dd": dd,
    "dcfldd": dd,
    "dc3dd": dd,
    **dict.fromkeys(("tar", "gtar", "bsdtar"), tar),
    "git": git.git,
    **dict.fromkeys(
        (
            "curl",
            "wget",
            "wget2",
            "aria2c",
            "axel",
            "http",
            "https",
            "xh",
            "lynx",
            "fetch",
            "ftp",
            "tftp",
            "nc",
            "ncat",
            "netcat",
            "socat",
            "telnet",
            "ping",
            "ping6",
            "dig",
            "host",
            "nslookup",
            "drill",
            "whois",
            "mail",
            "mailx",
            "sendmail",
            "mutt",
            "websocat",
            "w3m",
            "links",
            "lwp-request",
            "traceroute",
            "mtr",
        ),
        transfer,
    ),
    **dict.fromkeys(("ssh", "scp", "sftp", "mosh"), ssh),
    "rsync": rsync,
    **dict.fromkeys(("docker", "podman", "nerdctl"), hosts.container),
    **dict.fromkeys(
        (
            "vim",
            "vi",
            "nvim",
            "ex",
            "ed",
            "view",
            "gdb",
            "lldb",
            "mysql",
            "mariadb",
            "psql",
            "sqlite3",
            "less",
            "more",
            "man",
            "mongo",
            "mongosh",
            "redis-cli",
            "nano",
            "rview",
        ),
        hosts.with_escape,
    ),
    **dict.fromkeys(("script", "watch", "su", "runuser", "flock", "chronic", "ifne", "nodemon", "sg"), script),
    **dict.fromkeys(("make", "gmake", "npx", "tmux", "screen"), tester),
    "crontab": crontab,
    "ssh-keygen": keygen,
    **dict.fromkeys(("sed", "gsed"), sed),
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), awk),
}

"""What rules the agent, laid out as its user has it, and every way of changing it that the tools offer."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmos_core

PLANTED = "planted"
"""What attempts write, and how they name what they make."""

SIGNATURE, VERSION = "5f2c9d7e1a3b", "0123456789abcdef"
OF_WORKSPACE = (
    f"memories/traces/{SIGNATURE}/{VERSION}.md",
    f"memories/traces/{SIGNATURE}/{VERSION}.seal",
    "memories/outcomes.sqlite",
    f"memories/feedback/{VERSION}.json",
    "memories/facts/fact.md",
    "memories/sessions/2026-11-01/2026-11-01-120000-abcdef.jsonl",
    "state/approvals/project-0123456789abcdef.json",
    "state/ledger.sqlite",
    f"state/blobs/{hashlib.sha256(b'ruling').hexdigest()[:2]}/{hashlib.sha256(b'ruling').hexdigest()[2:]}",
    "state/starts/2026-11-01-120000-abcdef.json",
    "agents/scribe.md",
    "lessons/own.yaml",
    "plugins/own.py",
)
OF_USER = (
    *(".config/llmos/config.toml", ".config/llmos/credentials.toml", ".data/llmos/seal.key"),
    *(".data/llmos/enabled_plugins.json", "llmos.toml", ".bashrc", ".profile", ".gitconfig"),
    *(".git/hooks/pre-commit", ".git/config", ".ssh/authorized_keys", ".local/bin/llmos", ".mcp.json"),
    ".claude/settings.json",
)
OF_SITE = (
    *("llmos_plugin_made/plugin.py", "llmos_plugin_made-1.0.dist-info/entry_points.txt"),
    *("llmos_core/kernel/gate.py", "llmos_core/__init__.py"),
)
OF_FOLDER = ("llmos.toml", ".git/hooks/pre-commit", ".git/config", ".mcp.json", ".claude/settings.json")
"""What lies in a folder of the user's that becomes the working directory with ``--dir``."""

Seen = Mapping[str, tuple[int | bytes | str, ...]]


@dataclass
class World:
    """Where everything lies. The fake ``home`` has the settings; ``site`` the code of a plugin, and of the core.

    ``targets`` are the files to be changed, ``inside`` those of them that lie in the working directory.
    """

    home: Path
    workspace: Path
    workdir: Path
    site: Path
    targets: list[Path] = field(default_factory=list)
    inside: list[Path] = field(default_factory=list)

    def lay(self) -> None:
        """Make every target that is not there yet, and in the working directory what the attempts work with."""
        if not (self.site / "llmos_core").exists():
            shutil.copytree(
                Path(llmos_core.__file__).parent,
                self.site / "llmos_core",
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        named = ((self.workspace, OF_WORKSPACE), (self.home, OF_USER), (self.site, OF_SITE))
        for root, names in named:
            for name in names:
                self._make(root / name)
        self.workdir.mkdir(parents=True, exist_ok=True)
        (self.workdir / "sub").mkdir()
        (self.workdir / "own").write_text(f"{PLANTED}\n")

    def lay_inside(self) -> None:
        """The same where the user's own folder is the working directory: these are the targets then."""
        self.targets.clear()
        for name in OF_FOLDER:
            self._make(self.workdir / name)
        self.inside = list(self.targets)

    def _make(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.targets.append(path)
        if path.exists():
            return
        if path.suffix == ".sqlite":
            with sqlite3.connect(path) as database:
                database.execute("create table ruling (word text)")
            database.close()
        else:
            path.write_text("# ruling\n" if path.suffix in (".toml", ".py") else "ruling")
        path.chmod(0o600)

    def is_free(self, number: int) -> bool:
        """Whether it is nobody's harm if something new appears beside a target."""
        target = self.targets[number]
        return target in self.inside and target.parent in (self.workdir, self.workdir / ".git")

    def link(self) -> None:
        """Links to all targets and to their directories, as an earlier command may have made them."""
        for number, target in enumerate(self.targets):
            for name, to in ((f"door-{number}", target.parent), (f"alias-{number}", target)):
                (self.workdir / name).unlink(missing_ok=True)
                (self.workdir / name).symlink_to(to)

    def seen(self) -> Seen:
        """Names, kinds, modes, owners, links and content of all outside the working directory, and ``inside`` it.

        Of a file inside, all that lies with it in directories of its own is seen too.
        """
        found: dict[str, tuple[int | bytes | str, ...]] = {}
        pending = [self.home, self.workspace, self.site]
        pending += {self.workdir / path.relative_to(self.workdir).parts[0] for path in self.inside if path.exists()}
        while pending:
            path = pending.pop()
            status = path.lstat()
            about: tuple[int | bytes | str, ...] = (status.st_mode, status.st_uid, status.st_gid)
            if stat.S_ISDIR(status.st_mode):
                pending += [below for below in path.iterdir() if below != self.workdir and below.name != "__pycache__"]
            elif stat.S_ISREG(status.st_mode):
                # The kernel touches a blob that it needs again.
                at = 0 if path.parent.parent.name == "blobs" else status.st_mtime_ns
                about += (status.st_nlink, at, path.read_bytes())
            elif stat.S_ISLNK(status.st_mode):
                about += (str(path.readlink()),)
            found[str(path)] = about
        return found


def changes(before: Seen, after: Seen, *records: str) -> list[str]:
    """What is gone, another, or new, but for what the kernel keeps of a run: with one of ``records`` in its path."""
    found = (path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path))
    return [path for path in found if not any(name in path for name in records) and not _kept(path, before, after)]


def _kept(path: str, before: Seen, after: Seen) -> bool:
    """Whether a path is new, and either a directory of the kernel's or content by its digest."""
    if path in before or path not in after:
        return False
    mode, content = after[path][0], after[path][-1]
    blob = re.search(r"/state/blobs/(..)/([^/]+)$", path)
    if blob and isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest() == blob[1] + blob[2]
    return isinstance(mode, int) and stat.S_ISDIR(mode) and PLANTED not in path


@dataclass(frozen=True)
class Spelled:
    """A way of writing a path: of a target, and of the directory it is in. No directory for a link to the file."""

    how: str
    path: str
    directory: str | None
    name: str


SPELLINGS = ("absolute", "relative", "dotted", "door", "alias", "tilde", "root", "cwd")


def spelled(world: World, number: int, how: str) -> Spelled | None:
    """A target in one spelling; None where it cannot be so written."""
    target = world.targets[number]
    up = os.path.relpath(target.parent, world.workdir)
    directories = {
        "absolute": str(target.parent),
        "relative": up,
        "dotted": f"./sub//../{up}/.",
        "door": f"door-{number}/.",
        "tilde": "~/" + os.path.relpath(target.parent, world.home),
        "root": f"/proc/self/root{target.parent}",
        "cwd": f"/proc/self/cwd/{up}",
    }
    if how == "alias":
        return Spelled(how, f"alias-{number}", None, target.name)
    if how == "tilde" and not target.is_relative_to(world.home):
        return None
    return Spelled(how, f"{directories[how]}/{target.name}", directories[how], target.name)


@dataclass(frozen=True)
class Way:
    """A command that changes something. ``@p`` is the target, ``@d`` its directory, ``@b`` its name.

    ``python``: the same is a statement of Python's about ``path``, of which the command is made.
    """

    name: str
    command: str
    python: str = ""

    @property
    def of_name(self) -> bool:
        """Whether it replaces or removes the name, so that a link to the target is only itself changed."""
        return self.name.startswith("name:")

    @property
    def of_all(self) -> bool:
        """Whether it takes all that lies in the directory."""
        return self.name.startswith("all:")


def _python(name: str, statement: str) -> Way:
    start = "import os; path = os.path.expanduser('@p'); "
    return Way(name, f'python3 -c "{start}{statement}"', statement)


WAYS = (
    Way("redirect", "echo planted > @p"),
    Way("append", "echo planted >> @p"),
    Way("clobber", "set -C; echo planted >| @p"),
    Way("descriptor", "exec 3<>@p && echo planted >&3"),
    Way("here-document", "cat > @p <<X\nplanted\nX"),
    Way("tee", "echo planted | tee -a @p"),
    Way("cp", "cp own @p"),
    Way("dd", "dd if=own of=@p"),
    Way("truncate", "truncate -s 0 @p"),
    Way("xargs", "echo @p | xargs cp own"),
    Way("find -exec", "find own -exec cp -t @d {} +"),
    Way("sh", "env sh -c 'echo planted > @p'"),
    Way("background", "setsid sh -c 'echo planted > @p' & wait $!"),
    Way("chmod", "chmod 0777 @p"),
    Way("chown", "chown 1:1 @p"),
    _python("python open", "open(path, 'w').write('planted')"),
    _python("python open r+", "open(path, 'r+').write('planted')"),
    _python("python truncate", "os.truncate(path, 0)"),
    _python("python chmod", "os.chmod(path, 0o777)"),
    _python("python utime", "os.utime(path, (1, 1))"),
    _python("name:python unlink", "os.unlink(path)"),
    _python("name:python replace", "open('mine', 'w').close(); os.replace('mine', path)"),
    Way("touch", "touch -d 2001-01-01 @p"),
    Way("hard link", "ln -fL @p hard && echo planted >> hard"),
    Way("link through", "ln -sfn @p through && echo planted > through"),
    Way("link by cp", "rm -f through && cp -s @p through && echo planted > through"),
    Way("name:rm", "rm -f @p"),
    Way("name:unlink", "unlink @p"),
    Way("name:mv over", "cp own mine && mv -f mine @p"),
    Way("name:mv away", "rm -rf taken; mv @p taken"),
    Way("name:install", "install -m 777 own @p"),
    Way("name:ln over", "ln -f own @p"),
    Way("name:ln -s over", "ln -sf own @p"),
    Way("name:sed", "sed -i '1s/^/planted/' @p"),
    Way("tar", "mkdir -p pack && cp own pack/@b && tar -cf pack.tar -C pack @b && tar -xf pack.tar -C @d"),
    Way("link through directory", "ln -sfn @d way && echo planted > way/@b"),
    Way("cd", "cd @d && echo planted > @b"),
    Way("new file", "echo planted > @d/planted"),
    Way("new directory", "mkdir @d/planted"),
    Way("new fifo", "mkfifo @d/planted"),
    Way("new link", "ln -s own @d/planted"),
    Way("chmod directory", "chmod 0777 @d"),
    Way("all:rm", "rm -rf @d"),
    Way("all:find", "find @d/ -type f -delete"),
    Way("all:mv", "mv @d @d-planted"),
)

Attempt = tuple[str, dict[str, Any]]
"""A tool and its input."""


def command(world: World, way: Way, number: int, how: str) -> str | None:
    """The command for one target in one spelling; None where it makes no sense."""
    at = spelled(world, number, how)
    if at is None or (at.directory is None and ("@d" in way.command or way.of_name)):
        return None
    if world.is_free(number) and (way.name == "tar" or ("@d" in way.command and "@b" not in way.command)):
        return None  # what is in an archive no guard sees
    if way.of_all and (world.workdir.is_relative_to(world.targets[number].parent) or how == "door"):
        return None  # it would take the working directory, or the link, with it
    made = way.command.replace("@p", at.path).replace("@b", at.name)
    return made.replace("@d", at.directory) if at.directory else made


def sweep(world: World, way: Way, *, every: int = 0) -> str:
    """One command that tries a way on every target in every spelling, and tells where it succeeds; it ends with 7.

    ``every``: it tries every so many-th target only, and the spellings in turn.
    """
    lines = []
    for number in range(WAYS.index(way) % every if every else 0, len(world.targets), every or 1):
        for at, made in _in_turn(world, way, number) if every else _in_all(world, way, number):
            what = f"REACHED, {at.how}: {world.targets[number]}"
            if way.python:
                lines.append(f"    ({what!r}, {at.path!r}),")
            else:
                lines.append(f"( {made}\n) > /dev/null 2>&1 && echo {what!r}")
    if way.python:  # in one process, for it starts slowly
        lines = ["python3 - <<'X'", *PYTHON_SWEEP[0], *lines, *PYTHON_SWEEP[1], f"        {way.python}"]
        lines += [*PYTHON_SWEEP[2], "X"]
    return "\n".join([*lines, "exit 7"])


PYTHON_SWEEP = (
    ("import os", "for what, path in ("),
    ("):", "    path = os.path.expanduser(path)", "    try:"),
    ("    except OSError:", "        continue", "    print(what)"),
)


def files(world: World) -> Iterator[Attempt]:
    """Every target in every spelling, with every tool that writes files."""
    for number in range(len(world.targets)):
        for how in SPELLINGS:
            if at := spelled(world, number, how):
                yield "Write", {"file_path": at.path, "content": PLANTED}
                yield "Edit", {"file_path": at.path, "old_string": "ruling", "new_string": PLANTED}
                if at.directory is None or world.is_free(number):
                    continue
                for new in (f"{at.directory}/planted", f"{at.directory}/planted-too/new"):
                    yield "Write", {"file_path": new, "content": PLANTED}
                    yield "Edit", {"file_path": new, "old_string": "", "new_string": PLANTED}


def mixed(world: World, *, in_turn: bool = True) -> Iterator[str]:
    """Commands: every way with every target, the spellings ``in_turn``, or else all of them."""
    for way in WAYS:
        for number in range(len(world.targets)):
            yield from (made for _, made in (_in_turn if in_turn else _in_all)(world, way, number))


def _in_all(world: World, way: Way, number: int) -> Iterator[tuple[Spelled, str]]:
    for how in SPELLINGS:
        at, made = spelled(world, number, how), command(world, way, number, how)
        if at is not None and made is not None:
            yield at, made


def _in_turn(world: World, way: Way, number: int) -> list[tuple[Spelled, str]]:
    found = list(_in_all(world, way, number))
    turn = (WAYS.index(way) + number) % max(len(found), 1)
    return found[turn : turn + 1]

"""What a command may read: the system, the tools that the user has, and the workspace without what is sealed there."""

from __future__ import annotations

import errno
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from llmos_plugin_tools.environment import named_places

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"),
    *("/run/current-system", "/run/systemd/resolve", "/sys/devices/system", "/sys/fs/cgroup"),
)

ETC = (
    *(
        "adduser.conf",
        "alternatives",
        "bash.bashrc",
        "bashrc",
        "ca-certificates",
        "ca-certificates.conf",
        "crypto-policies",
    ),
    *("debian_version", "fonts", "gai.conf", "gitconfig", "group", "host.conf", "hostname", "hosts", "inputrc", "java"),
    *(
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "locale.alias",
        "locale.conf",
        "localtime",
        "login.defs",
        "lsb-release",
    ),
    *(
        "magic",
        "magic.mime",
        "mime.types",
        "networks",
        "nsswitch.conf",
        "os-release",
        "passwd",
        "perl",
        "php",
        "profile",
    ),
    *("protocols", "python3", "R", "redhat-release", "resolv.conf", "rpc", "services", "shells", "skel", "terminfo"),
    *(
        "texmf",
        "timezone",
        "vim",
        "wgetrc",
        "curlrc",
        "xdg",
        "xml",
        "sgml",
        "nanorc",
        "emacs",
        "pki/ca-trust",
        "pki/tls/certs",
    ),
    *("pki/tls/cert.pem", "pki/tls/openssl.cnf", "ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf", "static"),
)
"""What programs look up in ``/etc``. Keys, passwords and the settings of services are not among it."""

INSTALLERS = ("/etc/pip.conf", "/etc/npmrc")
"""Where a machine says from where its packages come; closed if a credential stands there."""

DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))

TOOLCHAINS = (
    # directory below the home, the variable that tells a program of it
    (".pyenv", "PYENV_ROOT"),
    (".rustup", "RUSTUP_HOME"),
    (".nvm", "NVM_DIR"),
    (".rbenv", "RBENV_ROOT"),
    (".asdf", "ASDF_DATA_DIR"),
    (".volta", "VOLTA_HOME"),
    (".sdkman", "SDKMAN_DIR"),
    (".local/share/uv/python", "UV_PYTHON_INSTALL_DIR"),
    (".local/share/uv/tools", None),
    (".local/share/pipx/venvs", None),
    (".local/pipx/venvs", None),
    (".local/lib", None),
)
"""Where people keep compilers and interpreters of their own; no program keeps a credential there."""

_CREDENTIAL = re.compile(r"//[^/\s]*@|_auth|_password|token", re.IGNORECASE)
_BESIDE_BIN = ("lib", "lib64", "libexec", "include")
_MARKS = ("pyvenv.cfg", "conda-meta")
"""What is in a directory that belongs to one interpreter as a whole."""

_LONGEST_WAY = 4096
"""The names that are looked up for one path, at most: links may lead in a circle."""


def home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The user's home; None where there is none of its own."""
    given = environ.get("HOME", "")
    path = Path(os.path.realpath(given))
    return path if given.startswith("/") and path != Path("/") else None


def toolchains(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that tell programs where the user's own tools are, once the home is another."""
    at = home(environ)
    found = {name: at / place for place, name in TOOLCHAINS if name} if at else {}
    variables = {name: environ.get(name, str(path)) for name, path in found.items()}
    variables = {name: path for name, path in variables.items() if Path(path).is_dir()}
    if at and (at / ".local/lib").is_dir():
        variables["PYTHONUSERBASE"] = str(at / ".local")
    return variables


def system_places(hidden: Iterable[Path], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Existing places that every command may read, but nothing below ``hidden``, the home among it.

    Of the home there are the directories of ``PATH``, what belongs to them, the toolchains that are known here, and
    what our Python or the variables that commands get name there.
    """
    at, hidden = home(environ), list(hidden)
    general = [Path(place) for place in (*SYSTEM, "/proc", *(f"/etc/{name}" for name in ETC))]
    general += [Path(place) for place in INSTALLERS if _is_public(Path(place))]
    own = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), *_of_path(environ.get("PATH", ""), at)]
    own += [*_imported_from(), *named_places(environ)]
    own += [Path(path) for name, path in toolchains(environ).items() if name != "PYTHONUSERBASE"]
    own += [at / place for place, _ in TOOLCHAINS] if at else []
    found = [*carved(general, [*hidden, at] if at else hidden), *carved(_not_above(own, at), hidden)]
    return list(dict.fromkeys(found))


def _of_path(path: str, at: Path | None) -> Iterator[Path]:
    for given in filter(os.path.isabs, path.split(os.pathsep)):
        directory = Path(given)
        yield directory
        prefix = directory.parent
        if any((prefix / mark).exists() for mark in _MARKS):
            yield prefix
        elif directory.name in {"bin", "sbin"}:
            yield from (prefix / name for name in _BESIDE_BIN)


def _imported_from() -> Iterator[Path]:
    """What the ``.pth`` files of our Python put on its path: the source of what is installed to be edited."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    for directory in map(Path, (*site.getsitepackages(), *user)):
        for file in sorted(directory.glob("*.pth")):
            named = (os.path.abspath(directory / line.strip()) for line in _text(file).splitlines())  # noqa: PTH100
            yield from (Path(place) for place in named if place in sys.path)


def _is_public(settings: Path) -> bool:
    text = _text(settings)
    return bool(text) and _CREDENTIAL.search(text) is None


def _text(file: Path) -> str:
    """Nothing of what is not there, or not for us."""
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _not_above(places: Iterable[Path], at: Path | None) -> Iterator[Path]:
    """Without those that would open all: the root, and what the home lies in."""
    for place in places:
        real = Path(os.path.realpath(place))
        if real != Path("/") and not (at and at.is_relative_to(real)):
            yield place


def resolved(place: Path) -> tuple[Path, list[Path]]:
    """Where a path leads, and all that it leads over: each name that is looked up on the way. Raises OSError."""
    at, passed, left = Path("/"), list[Path](), list(reversed(place.absolute().parts[1:]))
    while left:
        name = left.pop()
        if name == "..":
            at = at.parent
            continue
        at /= name
        passed.append(at)
        if len(passed) > _LONGEST_WAY:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
        if at.is_symlink():
            target = at.readlink()
            at = Path("/") if target.is_absolute() else at.parent
            left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return at, passed


def carved(places: Iterable[Path], hidden: Iterable[Path]) -> Iterator[str]:
    """The places that exist, or what is in them, so that nothing below ``hidden`` (resolved paths) is among it."""
    hidden = list(hidden)
    for place in places:
        real = Path(os.path.realpath(place))
        if not real.exists() or any(real.is_relative_to(other) for other in hidden):
            continue
        if not any(other.is_relative_to(real) for other in hidden):
            yield str(place)
        elif real.is_dir():
            yield from carved((child for child in sorted(real.iterdir()) if not child.is_symlink()), hidden)

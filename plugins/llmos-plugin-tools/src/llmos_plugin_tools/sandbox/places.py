"""What a command may read: the system, the tools that the user has, and the workspace without what is sealed there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

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

_BESIDE_BIN = ("lib", "lib64", "libexec", "include")
_MARKS = ("pyvenv.cfg", "conda-meta")
"""What is in a directory that belongs to one interpreter as a whole."""


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

    Of the home there are the directories of ``PATH``, what belongs to them, and the toolchains that are known here.
    """
    at, hidden = home(environ), list(hidden)
    general = [Path(place) for place in (*SYSTEM, "/proc", *(f"/etc/{name}" for name in ETC))]
    own = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), *_of_path(environ.get("PATH", ""), at)]
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


def _not_above(places: Iterable[Path], at: Path | None) -> Iterator[Path]:
    """Without those that would open all: the root, and what the home lies in."""
    for place in places:
        real = Path(os.path.realpath(place))
        if real != Path("/") and not (at and at.is_relative_to(real)):
            yield place


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

"""Fresh virtual environments that hold a wheel and what it declares, with nothing else in reach.

What it declares is read from its metadata as an installer reads it, markers, extras and ranges included; the files
of other projects' distributions are those of the environment that runs the tests. So no index is asked, and what is
not declared is not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Collection, Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class Wheels:
    """Our own distributions, each built when it is first asked for.

    Args:
        folders: where each lies, by its name.
        target: the directory for the wheels.

    """

    def __init__(self, folders: Mapping[str, Path], target: Path) -> None:
        self._folders = folders
        self._target = target
        self._built: dict[str, Path] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._folders

    def __getitem__(self, name: str) -> Path:
        if name not in self._built:
            target, folder = self._target / name, self._folders[name]
            command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(target), str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            [self._built[name]] = target.glob("*.whl")
        return self._built[name]


class FreshVenv:
    """A virtual environment without pip.

    Args:
        path: where it is made.
        wheels: our own distributions.
        without: requirements that are left out although they are declared.

    """

    def __init__(self, path: Path, wheels: Wheels, without: Collection[str] = ()) -> None:
        venv.create(path, symlinks=True)
        self.path = path
        self._wheels = wheels
        self._without = without
        self._site = path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        self._installed: set[tuple[str, str]] = set()

    def install(self, requirement: str) -> None:
        """Install a distribution and what it declares. Raises ValueError where our own do not fit its range."""
        wanted = Requirement(requirement)
        name = canonicalize_name(wanted.name)
        if name in self._without:
            return
        for extra in ("", *sorted(wanted.extras)):
            if (name, extra) in self._installed:
                continue
            if extra == "":
                self._add(name)
            self._installed.add((name, extra))
            for required in declared(self.metadata(name), extra):
                self.install(required)
        version = self.metadata(name)["Version"]
        if not wanted.specifier.contains(version, prereleases=True):
            raise ValueError(f"{name} {version} is not {wanted.specifier}")

    def _add(self, name: str) -> None:
        if name in self._wheels:
            with zipfile.ZipFile(self._wheels[name]) as archive:
                archive.extractall(self._site)
            return
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                target = self._site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(Path(str(file.locate())), target)

    def metadata(self, name: str) -> Message:
        if name not in self._wheels:
            return HeaderParser().parsestr(distribution(name).read_text("METADATA") or "")
        with zipfile.ZipFile(self._wheels[name]) as archive:
            [path] = [path for path in archive.namelist() if path.endswith(".dist-info/METADATA")]
            return HeaderParser().parsestr(archive.read(path).decode())

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in an empty directory of its own, with no settings of the user."""
        home = self.path / "home"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LANG")}
        own = {name: str(home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LLMOS_WORKSPACE")}
        return subprocess.run(
            [self.path / "bin" / "python", *arguments],
            cwd=home,
            env={**kept, **own, **variables},
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )


def declared(metadata: Message, extra: str = "") -> Iterator[str]:
    """What a distribution requires here; with an extra, only what that adds."""
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        marker = requirement.marker
        plain = marker is None or marker.evaluate({"extra": ""})
        if (plain and not extra) or (extra and not plain and marker is not None and marker.evaluate({"extra": extra})):
            requirement.marker = None
            yield str(requirement)


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # another file system
        target.symlink_to(source)

"""What tests of installing need: wheels and folders of tiny plugins, and environments to install them into."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PLUGIN = """
from llmos_core import hookimpl

@hookimpl
def llmos_tools():
    return []
"""
POINTS = "[llmos.plugins]\n{short} = {module}\n"

BACKEND = """
import pathlib, zipfile, os

NAME, VERSION, POINTS = {name!r}, {version!r}, {points!r}
INFO = NAME.replace("-", "_") + "-" + VERSION + ".dist-info"

def _wheel(directory, files):
    files[INFO + "/METADATA"] = "Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: " + VERSION + "\\n"
    files[INFO + "/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[INFO + "/entry_points.txt"] = POINTS
    files[INFO + "/RECORD"] = "".join(name + ",,\\n" for name in [*files, INFO + "/RECORD"])
    name = INFO.removesuffix(".dist-info") + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name

def build_wheel(directory, config_settings=None, metadata_directory=None):
    module = NAME.replace("-", "_") + ".py"
    return _wheel(directory, {{module: pathlib.Path(module).read_text()}})

def build_editable(directory, config_settings=None, metadata_directory=None):
    return _wheel(directory, {{NAME + ".pth": os.getcwd() + "\\n"}})
"""


def wheel(
    directory: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    points: str = POINTS,
    source: str = PLUGIN,
) -> Path:
    """Write the wheel of a distribution with one module."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A plugin.\n"
    files = {
        f"{module}.py": source,
        f"{info}/METADATA": about + "".join(f"Requires-Dist: {one}\n" for one in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points.format(short=name.removeprefix("llmos-plugin-"), module=module),
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return path


def folder(parent: Path, name: str, version: str = "1.0", *, backend: str = BACKEND) -> Path:
    """Write the sources of a distribution that builds itself, so that building needs nothing from anywhere."""
    module = name.replace("-", "_")
    path = parent / name
    path.mkdir(parents=True)
    (path / f"{module}.py").write_text(PLUGIN)
    points = POINTS.format(short=name.removeprefix("llmos-plugin-"), module=module)
    (path / "backend.py").write_text(backend.format(name=name, version=version, points=points))
    (path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    return path


class Installed:
    """An environment that holds llmos-core, and a home for its user.

    Args:
        python: its interpreter.
        home: an empty directory to run in; its ``workspace/`` is the workspace.
        wheels: where the installers look for distributions, and nowhere else.
        variables: of the processes, besides those.

    """

    def __init__(self, python: Path, home: Path, wheels: Path, variables: Mapping[str, str] | None = None) -> None:
        self.python = python
        self.home = home
        self.wheels = wheels
        (home / "workspace").mkdir(parents=True, exist_ok=True)
        wheels.mkdir(parents=True, exist_ok=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "PIPX_", "LLMOS_", "ANTHROPIC_", "CLAUDE", "PYTHON"))
        }
        xdg = {f"XDG_{kind}_HOME": str(home / f".{kind.lower()}") for kind in ("CONFIG", "DATA", "CACHE")}
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
        uv = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(home / ".uv")}
        self.environment = {**kept, **xdg, **pip, **uv, "COLUMNS": "200", **(variables or {})}

    @property
    def record(self) -> Path:
        return self.home / "workspace" / "plugins.toml"

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(self.python), "-m", "llmos_core", "plugins", *map(str, arguments)]

    def __call__(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``llmos plugins``."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.home,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    def version(self, name: str) -> str:
        """The installed version of a distribution, empty without one."""
        code = f"from importlib.metadata import distributions as d; print(*(x.version for x in d(name={name!r})))"
        done = subprocess.run([self.python, "-c", code], cwd=self.home, capture_output=True, text=True, check=True)
        return done.stdout.strip()


def fresh(path: Path, home: Path, wheels: Path) -> Installed:
    """A virtual environment that sees what is installed here (pip, too) and installs for itself."""
    venv.create(path, symlinks=True)
    here = next(place for place in sys.path if Path(place).name == "site-packages")
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (path / "lib" / name / "site-packages" / "shared.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return Installed(path / "bin" / "python", home, wheels)

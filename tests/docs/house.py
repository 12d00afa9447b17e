"""A fresh virtual environment beside ours, with our distributions as wheels, and pip to install more. No network."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
STANDARD = ("claude", "follower", "history", "installer", "memory", "rehearsal", "tools", "trace")


def fresh_venv(path: Path, folders: Sequence[Path]) -> Path:
    """A virtual environment with wheels of the given folders; its ``bin``. Third-party modules are those of ours."""
    venv.create(path, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(path)}))
    _others(path / "others")
    (site / "others.pth").write_text(f"{path / 'others'}\n", "utf-8")
    command = [str(path / "bin/python"), "-m", "pip", "install", "-q", "--no-deps", *map(str, folders)]
    done = subprocess.run(command, env=pip_environment(path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return path / "bin"


def _others(target: Path) -> None:
    """Links to all that lies in our own environment, but what we made."""
    target.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "llmos" not in path.name and path.suffix != ".pth":
            (target / path.name).symlink_to(path)


def pip_environment(path: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for programs of that environment: pip asks no index, and builds with the modules that are there."""
    return {
        **(environ or {}),
        "PATH": f"{path / 'bin'}:/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's own way to say yes
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

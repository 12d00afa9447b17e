"""Installing into environments that uv, pipx and ``uv tool`` made: what they manage survives their own upgrades.

pipx, uv, and what llmos-core needs come from the index that is set for pip and uv.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from .installing import Installed, folder, wheel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
INSTALLER = "llmos-plugin-installer"
HELLO = "llmos-plugin-hello"

Run = Callable[..., str]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of uv and pipx."""
    path = tmp_path_factory.mktemp("tools")
    venv.create(path, with_pip=True, symlinks=True)
    subprocess.run([path / "bin" / "python", "-m", "pip", "install", "-q", "uv", "pipx"], check=True)
    return path / "bin"


@pytest.fixture(scope="module")
def cores(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Directories that hold the installer, and llmos-core as it is and as its next version."""
    now, later = tmp_path_factory.mktemp("now"), tmp_path_factory.mktemp("later")
    for folder_of_it in (ROOT, ROOT / "plugins" / INSTALLER):
        build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(now), str(folder_of_it)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    [built] = now.glob("llmos_core-*")
    [installer] = now.glob("llmos_plugin_installer-*")
    shutil.copy(installer, later)
    version = built.name.split("-")[1]
    with zipfile.ZipFile(built) as old, zipfile.ZipFile(later / built.name.replace(version, "0.1.99"), "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if ".dist-info/" in name:
                text = text.replace(f"Version: {version}".encode(), b"Version: 0.1.99")
                text = b"" if name.endswith("RECORD") else text
            new.writestr(name.replace(f"-{version}.dist-info", "-0.1.99.dist-info"), text)
    return {"now": now, "later": later}


@pytest.fixture
def run(tools: Path, cores: Mapping[str, Path], tmp_path: Path) -> Run:
    """Runs uv or pipx, whose own places lie in the test's directory."""
    mine = {f"{kind}_{place}": str(tmp_path / place.lower()) for kind, place in (("PIPX", "HOME"), ("PIPX", "BIN_DIR"))}
    mine |= {"UV_TOOL_DIR": str(tmp_path / "uv-tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "uv-bin")}
    mine |= {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}

    def run(*command: str | Path, core: str = "now", wheels: Path | None = None) -> str:
        links = [str(place) for place in (cores[core], wheels) if place]
        found = {"UV_FIND_LINKS": ",".join(links), "PIP_FIND_LINKS": " ".join(links)}
        done = subprocess.run(
            command, env={**os.environ, **mine, **found}, capture_output=True, text=True, timeout=170, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.variables = mine  # type: ignore[attr-defined]
    return run


def installed(run: Run, tmp_path: Path, prefix: Path) -> Installed:
    kept: Mapping[str, str] = run.variables  # type: ignore[attr-defined]
    return Installed(prefix / "bin" / "python", tmp_path / "home", tmp_path / "wheels", kept)


def by_uv(run: Run, tmp_path: Path) -> Path:
    run("uv", "venv", "-q", "--python", sys.executable, tmp_path / "bare")
    run("uv", "pip", "install", "-q", "--python", tmp_path / "bare" / "bin" / "python", "llmos-core", INSTALLER)
    return tmp_path / "bare"


def by_uv_tool(run: Run, tmp_path: Path) -> Path:
    wheel(tmp_path / "wheels", "llmos-plugin-first")
    more = ("--with", "llmos-plugin-first", "--with", INSTALLER)
    run("uv", "tool", "install", "-q", "--python", sys.executable, "llmos-core", *more, wheels=tmp_path / "wheels")
    return tmp_path / "uv-tools" / "llmos-core"


def by_pipx(backend: str) -> Callable[[Run, Path], Path]:
    def make(run: Run, tmp_path: Path) -> Path:
        run("pipx", "install", "-q", "--backend", backend, "--python", sys.executable, "llmos-core")
        run("pipx", "inject", "-q", "llmos-core", INSTALLER)
        return tmp_path / "home" / "venvs" / "llmos-core"

    return make


MAKERS = {"uv": by_uv, "uv tool": by_uv_tool, "pipx with pip": by_pipx("pip"), "pipx with uv": by_pipx("uv")}


@pytest.mark.parametrize("kind", MAKERS)
def test_install_and_uninstall(kind: str, run: Run, cores: Mapping[str, Path], tmp_path: Path) -> None:
    llmos = installed(run, tmp_path, MAKERS[kind](run, tmp_path))
    before = llmos.version("llmos-core")
    wheel(llmos.wheels, "llmos-core", "9.0", points="")
    for version in ("1.0", "2.0"):
        wheel(llmos.wheels, HELLO, version, requires=["llmos-core>=0.1"])
    wheel(llmos.wheels, "llmos-plugin-other", requires=["llmos-core>=9"])
    draft = folder(tmp_path, "llmos-plugin-draft")

    assert llmos("install", "--dry-run", HELLO).stdout == "Would install: llmos-plugin-hello 2.0\n"
    done = llmos("install", f"{HELLO}<2")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "llmos-plugin-hello/hello 1.0 is ok"), done.stderr
    assert "Warning" not in done.stderr
    upgraded = llmos("install", "-U", HELLO, "--json")
    assert upgraded.returncode == 0, upgraded.stderr
    assert json.loads(upgraded.stdout)["installed"] == ["llmos-plugin-hello 2.0"]
    assert llmos("install", "-e", draft).returncode == 0
    refused = llmos("install", "llmos-plugin-other")
    assert refused.returncode == 1
    assert "it is not for the llmos-core that is installed." in refused.stderr
    missing = llmos("install", "llmos-plugin-nowhere")
    assert "there is no distribution of that name." in missing.stderr
    assert sorted(tomllib.loads(llmos.record.read_text())["plugins"]) == ["llmos-plugin-draft", HELLO]
    assert llmos.version("llmos-core") == before

    assert llmos("uninstall", "hello", "draft").returncode == 0
    assert (llmos.version(HELLO), llmos.version("llmos-plugin-draft")) == ("", "")
    assert llmos.version("llmos-core") == before


@pytest.mark.parametrize("kind", ["uv tool", "pipx with pip", "pipx with uv"])
def test_it_survives_an_upgrade_and_a_reinstallation(kind: str, run: Run, tmp_path: Path) -> None:
    llmos = installed(run, tmp_path, MAKERS[kind](run, tmp_path))
    wheel(llmos.wheels, HELLO)
    draft = folder(tmp_path, "llmos-plugin-draft")
    assert llmos("install", HELLO).returncode == 0
    assert llmos("install", "-e", draft).returncode == 0
    manager = kind.partition(" with ")[0].split()
    run(*manager, "upgrade", "llmos-core", core="later", wheels=llmos.wheels)
    assert llmos.version("llmos-core") == "0.1.99"
    again = ["upgrade", "--reinstall"] if manager[0] == "uv" else ["reinstall"]
    run(*manager, *again, "llmos-core", core="later", wheels=llmos.wheels)
    rows = {row["name"]: row for row in json.loads(llmos("list", "--json").stdout)}
    assert {"hello", "draft"} <= rows.keys()
    if kind == "uv tool":
        assert "first" in rows, "what was there before stays"
    assert llmos("uninstall", "hello").returncode == 0
    run(*manager, *again, "llmos-core", core="later", wheels=llmos.wheels)
    assert llmos.version(HELLO) == ""
    assert llmos.version("llmos-plugin-draft") == "1.0"

"""Every distribution builds as a wheel that holds all it needs, declares all it imports, and works alone."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from llmos_core import API_VERSION
from tests.fresh import FreshVenv, Wheels

ROOT = Path(__file__).parent.parent
PLUGINS = sorted((ROOT / "plugins").iterdir())
TESTKIT = ROOT / "llmos-testkit"
DISTRIBUTIONS = [ROOT, *PLUGINS, TESTKIT]
DATA = {
    "llmos-core": ["llmos_core/kernel/prices.toml", "llmos_core/__init__.pyi"],
    "llmos-plugin-rehearsal": ["llmos_plugin_rehearsal/lessons/primes.yaml"],
}
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not info.name.endswith(".__main__") and info.name != "llmos_testkit.conformance.suite":
        importlib.import_module(info.name)
"""
"""Imports every module of a package, but the test file that asks which plugin it is to test."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    return Wheels({name_of(folder): folder for folder in DISTRIBUTIONS}, tmp_path_factory.mktemp("wheels"))


def project_of(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def name_of(folder: Path) -> str:
    return str(project_of(folder)["name"])


def package_of(folder: Path) -> str:
    return name_of(folder).replace("-", "_")


def points_of(folder: Path, group: str) -> dict[str, str]:
    """The entry points of a group that a distribution declares."""
    points: dict[str, str] = project_of(folder).get("entry-points", {}).get(group, {})
    return points


@pytest.mark.slow
@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_it_builds_as_a_wheel(folder: Path, wheels: Wheels) -> None:
    with zipfile.ZipFile(wheels[name_of(folder)]) as archive:
        names = set(archive.namelist())
        package = package_of(folder)
        wanted = {f"{package}/py.typed", f"{package}/__init__.py", *DATA.get(name_of(folder), [])}
        assert wanted <= names
        built = [name for name in names if name.endswith(".py") and not name.startswith(f"{package}/template/")]
        assert len(built) == len(sources_of(folder))
        points = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    wanted_points = ("[console_scripts]",) if folder == ROOT else ("[llmos.plugins]", "[llmos.commands]")
    assert any(point in points[0] for point in wanted_points)


def sources_of(folder: Path) -> list[Path]:
    return sorted((ROOT / "llmos_core" if folder == ROOT else folder / "src").rglob("*.py"))


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_it_declares_what_it_imports(folder: Path) -> None:
    """The top-level modules that its sources import belong to distributions that it requires."""
    import ast
    from importlib.metadata import packages_distributions

    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    required = itertools.chain(project["dependencies"], *project.get("optional-dependencies", {}).values())
    declared = {canonicalize_name(Requirement(requirement).name) for requirement in required}
    imported = set()
    for path in sources_of(folder):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.partition(".")[0])
    own = project["name"].replace("-", "_")
    outside = {name for name in imported if name not in sys.stdlib_module_names and name != own}
    homes = packages_distributions()
    missing = {
        name for name in outside if declared.isdisjoint(canonicalize_name(home) for home in homes.get(name, [name]))
    }
    assert missing == set()


@pytest.mark.parametrize("folder", DISTRIBUTIONS[1:], ids=lambda folder: folder.name)
def test_it_states_which_cores_it_works_with(folder: Path) -> None:
    [core] = [r for r in map(Requirement, project_of(folder)["dependencies"]) if r.name == "llmos-core"]
    major, minor = map(int, API_VERSION.split("."))
    assert core.specifier.contains(API_VERSION)
    assert not core.specifier.contains(f"{major}.{minor + 1}")


def states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The state of each plugin, by its distribution."""
    assert done.returncode == 0, done.stdout + done.stderr
    return {row["distribution"]: row["state"] for row in json.loads(done.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_it_works_alone(folder: Path, wheels: Wheels, tmp_path: Path) -> None:
    """With the core and what it declares, and nothing else: listed as ok, and every command of it loads."""
    name = name_of(folder)
    alone = FreshVenv(tmp_path / "venv", wheels)
    alone.install(name)
    checked = alone.run("-m", "llmos_core", "plugins", "list", "--check", "--json")
    assert states(checked) == ({} if folder == ROOT else {name: "ok"})
    for command in points_of(folder, "llmos.commands"):
        told = alone.run("-m", "llmos_core", *command.split("."), "--help")
        assert told.returncode == 0, told.stdout + told.stderr
    for extra in project_of(folder).get("optional-dependencies", {}):
        alone.install(f"{name}[{extra}]")
    imported = alone.run("-c", IMPORT_ALL, package_of(folder))
    assert imported.returncode == 0, imported.stderr


@pytest.mark.slow
@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_it_conforms_alone(folder: Path, wheels: Wheels, tmp_path: Path) -> None:
    """The test kit's suite, which asks for no code of the plugin's."""
    alone = FreshVenv(tmp_path / "venv", wheels)
    for name in (name_of(folder), "llmos-testkit"):
        alone.install(name)
    suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "llmos_testkit.conformance.suite"]
    for plugin in points_of(folder, "llmos.plugins"):
        done = alone.run(*suite, "--llmos-plugin", plugin)
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "requirement"), [(ROOT / "plugins" / "llmos-plugin-claude", "httpx2")])
def test_what_is_not_declared_is_missed(folder: Path, requirement: str, wheels: Wheels, tmp_path: Path) -> None:
    """An environment really lacks what a distribution does not declare."""
    name = name_of(folder)
    lacking = FreshVenv(tmp_path / "venv", wheels, without=[requirement])
    lacking.install(f"{name}[sdk]")
    imported = lacking.run("-c", IMPORT_ALL, package_of(folder))
    assert f"No module named '{requirement}'" in imported.stderr


def test_a_range_that_is_not_met_is_found(wheels: Wheels, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not <1"):
        FreshVenv(tmp_path / "venv", wheels).install("anyio<1")

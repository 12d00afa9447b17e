"""Every distribution builds as a wheel that holds all it needs."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = [ROOT, *sorted((ROOT / "plugins").iterdir())]
DATA = {
    "llmos-core": ["llmos_core/kernel/prices.toml", "llmos_core/__init__.pyi"],
    "llmos-plugin-rehearsal": ["llmos_plugin_rehearsal/lessons/primes.yaml"],
}


@pytest.mark.slow
@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_it_builds_as_a_wheel(folder: Path, tmp_path: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(folder)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        package = project["name"].replace("-", "_")
        wanted = {f"{package}/py.typed", f"{package}/__init__.py", *DATA.get(project["name"], [])}
        assert wanted <= names
        sources = [*(ROOT / "llmos_core" if folder == ROOT else folder / "src").rglob("*.py")]
        assert len([name for name in names if name.endswith(".py")]) == len(sources)
        points = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    wanted_points = ("[console_scripts]",) if folder == ROOT else ("[llmos.plugins]", "[llmos.commands]")
    assert any(point in points[0] for point in wanted_points)


@pytest.mark.parametrize("folder", DISTRIBUTIONS[1:], ids=lambda folder: folder.name)
def test_it_declares_what_it_imports(folder: Path) -> None:
    """The top-level modules that a plugin's sources import belong to distributions that it requires."""
    import ast
    from importlib.metadata import packages_distributions

    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    required = itertools.chain(project["dependencies"], *project.get("optional-dependencies", {}).values())
    declared = {requirement.split(">")[0].split("<")[0].strip().lower() for requirement in required}
    imported = set()
    for path in (folder / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.partition(".")[0])
    own = project["name"].replace("-", "_")
    outside = {name for name in imported if name not in sys.stdlib_module_names and name != own}
    homes = packages_distributions()
    missing = {
        name
        for name in outside
        if declared.isdisjoint(home.lower() for home in homes.get(name, [name.replace("_", "-")]))
    }
    assert missing == set()

"""The distribution ships the plugin template, also when its wheel is built from its source distribution."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--wheel"], []], ids=["directly", "from the source distribution"])
def test_the_template_is_in_the_wheel(tmp_path: Path, options: list[str]) -> None:
    build = [sys.executable, "-m", "build", "-q", "--no-isolation", *options, "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    template = ROOT.parent / "llmos-plugin-template"
    wanted = {path.relative_to(template).as_posix() for path in template.rglob("*") if path.is_file()}
    assert {f"llmos_testkit/template/{path}" for path in wanted} <= names
    assert {"llmos_testkit/py.typed", "llmos_testkit/plugin.py"} <= names

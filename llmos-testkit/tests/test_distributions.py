"""Distributions made for a test: installed as an installer would, and gone at its end."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from llmos_testkit import LlmosCli, PluginDistributions

pytest_plugins = ["pytester"]

SOURCE = "from llmos_core import hookimpl\n@hookimpl\ndef llmos_event(event): ...\n"


def test_it_is_installed_for_python(plugin_distribution: PluginDistributions) -> None:
    made = plugin_distribution(
        "llmos-plugin-made",
        {"made/__init__.py": "VALUE = 1\n", "made.plugin": SOURCE},
        version="2.5",
        requires=["llmos-core", "anyio>=4"],
        entry_points={"llmos.plugins": {"made": "made.plugin"}, "llmos.commands": {"hello": "made.cli:hello"}},
        summary="It is made.",
    )
    found = metadata.distribution("llmos-plugin-made")
    assert (found.version, found.requires, found.metadata["Summary"]) == (
        "2.5",
        ["llmos-core", "anyio>=4"],
        "It is made.",
    )
    assert {(point.group, point.name, point.value) for point in found.entry_points} == {
        ("llmos.plugins", "made", "made.plugin"),
        ("llmos.commands", "hello", "made.cli:hello"),
    }
    assert made.load().VALUE == 1
    recorded = {str(file): file for file in found.files or ()}
    assert set(recorded) == {
        "made/__init__.py",
        "made/plugin.py",
        *(f"llmos_plugin_made-2.5.dist-info/{name}" for name in ("METADATA", "entry_points.txt", "RECORD")),
    }
    told = recorded["made/__init__.py"].hash
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"VALUE = 1\n").digest()).decode().rstrip("=")
    assert told is not None
    assert told.value == digest


def test_it_asks_for_this_core_by_itself(plugin_distribution: PluginDistributions) -> None:
    import llmos_core

    plugin_distribution("llmos-plugin-made", SOURCE)
    minor = llmos_core.__version__.rpartition(".")[0]
    [needed] = metadata.distribution("llmos-plugin-made").requires or ()
    assert needed.startswith(f"llmos-core>={minor},<")
    [point] = metadata.distribution("llmos-plugin-made").entry_points
    assert (point.name, point.value) == ("made", "llmos_plugin_made")


def test_its_metadata_may_be_broken(plugin_distribution: PluginDistributions) -> None:
    made = plugin_distribution(
        "llmos-plugin-made", SOURCE, metadata=b"\xff", entry_points="[llmos.plugins\n", omit=["RECORD"]
    )
    assert (made.info / "METADATA").read_bytes() == b"\xff"
    assert (made.info / "entry_points.txt").read_text() == "[llmos.plugins\n"
    assert sorted(path.name for path in made.info.iterdir()) == ["METADATA", "entry_points.txt"]


def test_processes_have_it_too(plugin_distribution: PluginDistributions, llmos_cli: LlmosCli) -> None:
    plugin_distribution("llmos-plugin-made", "VALUE = 5")
    command = [sys.executable, "-c", "import llmos_plugin_made; print(llmos_plugin_made.VALUE)"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"5\n"
    listed = json.loads(llmos_cli("plugins", "list", "--json").stdout)
    assert [plugin["state"] for plugin in listed if plugin["name"] == "made"] == ["ok"]


def test_it_can_be_uninstalled(plugin_distribution: PluginDistributions) -> None:
    made = plugin_distribution("llmos-plugin-made", "VALUE = 1")
    assert made.load().VALUE == 1
    made.uninstall()
    assert made.module not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        made.load()
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution("llmos-plugin-made")
    assert plugin_distribution("llmos-plugin-made", "VALUE = 2").load().VALUE == 2


TWO_TESTS = """
import importlib, os, sys
from importlib import metadata
import pytest

def test_one(plugin_distribution):
    made = plugin_distribution("llmos-plugin-made", {"made/__init__.py": "", "made.part": ""})
    importlib.import_module("made.part")
    os.environ["SITE"] = str(plugin_distribution.site)

def test_two():
    assert not {"made", "made.part"} & set(sys.modules)
    assert os.environ["SITE"] not in sys.path
    assert os.environ["SITE"] not in os.environ.get("PYTHONPATH", "")
    assert not os.path.exists(os.environ["SITE"])
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution("llmos-plugin-made")
    with pytest.raises(ImportError):
        importlib.import_module("made")
"""


@pytest.mark.slow
def test_nothing_of_it_is_left_for_the_next_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TWO_TESTS)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_a_module_of_another_is_left_alone(plugin_distribution: PluginDistributions) -> None:
    made = plugin_distribution("llmos-plugin-made", {"json": "VALUE = 1"})
    made.uninstall()
    assert sys.modules["json"] is json
    assert Path(json.__file__).exists()

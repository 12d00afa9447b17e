"""Each check of a plugin as a whole can fail; the suite checks an installed plugin without a line of its author's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmos_testkit.conformance import PluginConformance
from llmos_testkit.conformance.loading import Installed, find
from llmos_testkit.conformance.sources import imports, undeclared

from .conformance_parts import checks_of

PLUGIN = '''
"""Hook implementations."""

from __future__ import annotations

from llmos_core import hookimpl


@hookimpl
def llmos_tools():
    from greeter_pkg.greet import Greet

    return [Greet()]


@hookimpl
def llmos_settings():
    from greeter_pkg.greet import GreeterSettings

    return GreeterSettings
'''
GREET = '''
from __future__ import annotations

import anyio
from pydantic import BaseModel, ConfigDict, Field

from llmos_core import Run, ToolResult


class GreetInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(examples=["Ada"])


class Greet:
    name = "Greet"
    description = "Greets someone."
    input_model = GreetInput

    def effect(self, input):
        return "pure"

    async def run(self, input: GreetInput, run: Run) -> ToolResult:
        await anyio.sleep(0)
        return ToolResult(output=f"Hello {input.name}")


class GreeterSettings(BaseModel):
    """How to greet."""

    model_config = ConfigDict(extra="forbid")

    word: str = Field(default="Hello", max_length=20)
'''
COMMAND = '''
import click


@click.command()
def hello():
    """Say hello."""
'''
METADATA = """\
Metadata-Version: 2.1
Name: llmos-plugin-greeter
Version: 1.0
Summary: Greets.
Requires-Dist: llmos-core>=0.1,<0.2
Requires-Dist: anyio
Requires-Dist: click
Requires-Dist: pydantic

# Greeter

Greets.
"""
ENTRIES = "[llmos.plugins]\ngreeter = greeter_pkg.plugin\n\n[llmos.commands]\nhello = greeter_pkg.command:hello\n"


def install(site: Path, **changed: tuple[str, str]) -> None:
    """A distribution in a folder; ``changed`` replaces a text in one of its files."""
    files = {
        "plugin": ("greeter_pkg/plugin.py", PLUGIN),
        "greet": ("greeter_pkg/greet.py", GREET),
        "command": ("greeter_pkg/command.py", COMMAND),
        "metadata": ("llmos_plugin_greeter-1.0.dist-info/METADATA", METADATA),
        "entries": ("llmos_plugin_greeter-1.0.dist-info/entry_points.txt", ENTRIES),
    }
    for name, (path, text) in files.items():
        old, new = changed.get(name, ("", ""))
        assert old in text
        file = site / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace(old, new) if old else text, "utf-8")
    (site / "greeter_pkg/__init__.py").write_text("", "utf-8")


def suite(site: Path, *options: str, plugin: str = "greeter") -> subprocess.CompletedProcess[str]:
    """The suite as its user runs it, in a process whose path begins with the folder."""
    script = f"import sys; sys.path.insert(0, {str(site)!r}); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    given = ["--pyargs", "llmos_testkit.conformance.suite", "-p", "no:cacheprovider", "-rfs", "--tb=short"]
    chosen = ["--llmos-plugin", plugin] if plugin else []
    command = [sys.executable, "-c", script, *given, *chosen, *options]
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(site)}
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=site, env=environment)


def failed(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {
        line.split("::")[-1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
    }


SPARE = "\n\n@hookimpl\ndef llmos_agents():\n    return []\n"
FAULTS: dict[str, dict[str, tuple[str, str]]] = {
    "test_it_loads": {
        "plugin": ("def llmos_settings():", "def llmos_setting():\n    pass\n\n\n@hookimpl\ndef llmos_settings():")
    },
    "test_its_import_is_light": {
        "plugin": ("from llmos_core", "import packaging\nfrom llmos_core"),
        "metadata": ("Requires-Dist: anyio", "Requires-Dist: anyio\nRequires-Dist: packaging"),
    },
    "test_what_looks_like_a_hook_is_one": {
        "plugin": ("@hookimpl\ndef llmos_settings", "def llmos_setup():\n    pass\n\n\n@hookimpl\ndef llmos_settings")
    },
    "test_contributions_have_names_of_their_own": {"plugin": ("[Greet()]", "[Greet(), Greet()]")},
    "test_contributions_are_described": {"greet": ('"Greets someone."', '""')},
    "test_settings_refuse_unknown_keys": {
        "greet": (
            '''"""How to greet."""

    model_config = ConfigDict(extra="forbid")''',
            '"""How to greet."""',
        )
    },
    "test_settings_have_valid_defaults": {"greet": ('default="Hello"', 'default="Hello, hello, hello, hello"')},
    "test_settings_are_explained": {"greet": ('"""How to greet."""', "")},
    "test_metadata_names_the_entry_point_as_the_settings_may": {"entries": ("greeter =", "my.greeter =")},
    "test_metadata_requires_a_range_of_the_core": {"metadata": ("llmos-core>=0.1,<0.2", "llmos-core>=0.1")},
    "test_metadata_declares_every_import": {"metadata": ("Requires-Dist: pydantic\n", "")},
    "test_metadata_tells_what_it_is": {"metadata": ("Summary: Greets.\n", "")},
    "test_it_imports_public_names_only": {
        "greet": (
            "from llmos_core import Run, ToolResult",
            "from llmos_core import ToolResult\nfrom llmos_core.run import Run",
        )
    },
    "test_it_imports_no_other_plugin": {
        "greet": ("import anyio", "import anyio\nimport llmos_plugin_tools"),
        "metadata": ("Requires-Dist: anyio", "Requires-Dist: anyio\nRequires-Dist: llmos-plugin-tools"),
    },
    "test_commands_work": {"command": ("@click.command()\n", "")},
    "test_commands_import_lightly": {
        "command": ("import click", "import click\nimport packaging"),
        "metadata": ("Requires-Dist: anyio", "Requires-Dist: anyio\nRequires-Dist: packaging"),
    },
}
ALSO = {
    "test_contributions_are_described": {"test_description_tells_a_model_what_it_is_for"},
    "test_contributions_have_names_of_their_own": {"test_it_loads"},
}
NAMES = {"test_metadata_names_the_entry_point_as_the_settings_may": "my.greeter"}


def test_every_check_has_a_fault() -> None:
    assert FAULTS.keys() == checks_of(PluginConformance)


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS)
def test_each_check_can_fail(tmp_path: Path, check: str) -> None:
    install(tmp_path, **FAULTS[check])
    done = suite(tmp_path, plugin=NAMES.get(check, "greeter"))
    assert failed(done) == {check} | ALSO.get(check, set()), done.stdout + done.stderr


@pytest.mark.slow
def test_a_sound_plugin_passes_the_suite(tmp_path: Path) -> None:
    install(tmp_path)
    done = suite(tmp_path, "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::Tool[Greet]::test_run_gives_a_result PASSED" in done.stdout
    assert "::Plugin[greeter]::test_it_loads PASSED" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["raise KeyError('at import')", "raise SystemExit(3)", "import no_such_module"])
def test_what_cannot_be_imported_fails_and_says_why(tmp_path: Path, fault: str) -> None:
    install(tmp_path, plugin=("from llmos_core", f"{fault}\nfrom llmos_core"))
    done = suite(tmp_path)
    assert done.returncode == 1
    assert "test_it_loads" in failed(done)


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["[Check.warning('disk', 'it is full', '')]", "1 / 0", "['all is well']"])
def test_what_doctor_would_be_told_is_checked(tmp_path: Path, answer: str) -> None:
    hook = f"\n\n@hookimpl\ndef llmos_checks():\n    from llmos_core import Check\n\n    return {answer}\n"
    install(tmp_path, plugin=("\n\n@hookimpl", f"{hook}\n\n@hookimpl"))
    assert failed(suite(tmp_path)) == {"test_it_loads"}


@pytest.mark.slow
def test_only_the_chosen_plugin_is_loaded(tmp_path: Path) -> None:
    install(tmp_path)
    done = suite(tmp_path, "-k", "test_it_loads", plugin="llmos-plugin-greeter/greeter")
    assert done.returncode == 0, done.stdout + done.stderr
    probe = tmp_path / "conftest.py"
    probe.write_text(
        "import sys\n\n\ndef pytest_sessionfinish():\n"
        "    loaded = sorted({name.partition('.')[0] for name in sys.modules if name.startswith('llmos_plugin_')})\n"
        "    print('LOADED', loaded)\n"
    )
    assert "LOADED []" in suite(tmp_path, "-s", f"--confcutdir={tmp_path}", "-p", "conftest").stdout


@pytest.mark.slow
def test_an_unknown_plugin_is_named(tmp_path: Path) -> None:
    install(tmp_path)
    assert "No plugin nobody is installed." in suite(tmp_path, plugin="nobody").stdout
    assert "Say which plugin is to be checked: --llmos-plugin NAME" in suite(tmp_path, plugin="").stdout


def test_a_distribution_of_commands_alone_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, entries=("[llmos.plugins]\ngreeter = greeter_pkg.plugin\n\n", ""))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("greeter", "llmos-plugin-greeter", "llmos-plugin-greeter/greeter"):
        found = find(name)
        assert (found.module, found.package) == (None, "greeter_pkg")
        assert found.load() is None


def test_an_attribute_may_be_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_pkg.py").write_text("class Plugin:\n    name = 'odd'\n\n\nplugin = Plugin()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded: Any = Installed("odd", "odd_pkg:plugin", "llmos-plugin-odd", ()).load()
    assert loaded.name == "odd"


def test_imports_for_type_checkers_need_no_requirement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "typed_pkg.py").write_text(
        "import os\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\nelse:\n    import yaml\n"
        "def f():\n    from pydantic import BaseModel\n    from . import sibling\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [found for _, found in imports("typed_pkg")] == [
        ("os", None),
        ("typing", "TYPE_CHECKING"),
        ("yaml", None),
        ("pydantic", "BaseModel"),
    ]
    assert undeclared("typed_pkg", {"pydantic"}) == ["yaml"]
    assert undeclared("typed_pkg", {"pydantic", "pyyaml"}) == []


def test_a_package_without_init_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare_pkg" / "deep").mkdir(parents=True)
    (tmp_path / "bare_pkg" / "plugin.py").write_text("import yaml\n")
    (tmp_path / "bare_pkg" / "deep" / "more.py").write_text("import numpy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert undeclared("bare_pkg", {"pydantic"}) == ["numpy", "yaml"]

"""What every plugin keeps as a whole: its module, its settings, its metadata, its commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from pydantic import BaseModel, ValidationError

import llmos_core
from llmos_testkit.conformance.base import Conformance
from llmos_testkit.conformance.loading import PLUGIN_GROUP, Installed, contributed, find
from llmos_testkit.conformance.sources import imports, normalised, undeclared
from llmos_testkit.conformance.stage import system_in

KINDS = (
    "llmos_tools",
    "llmos_strategies",
    "llmos_models",
    "llmos_ledgers",
    "llmos_matchers",
    "llmos_memory_backends",
)
"""The hooks whose contributions have names and contracts."""

_PUBLIC_MODULES = {"llmos_core", "llmos_core.commands"}


class PluginConformance(Conformance):
    """Checks of a plugin as a whole. ``plugin_name`` is its entry point's name, or its distribution's.

    The distribution must be installed (a development install will do).
    """

    plugin_name: str = ""

    @pytest.fixture
    def installed(self) -> Installed:
        """The plugin under test, as it is installed."""
        if not self.plugin_name:
            raise NotImplementedError("name the plugin: plugin_name = ...")
        return find(self.plugin_name)

    @pytest.fixture
    def plugin(self, installed: Installed) -> Any:
        """The plugin's module, imported."""
        if installed.module is None:
            pytest.skip("it brings commands only")
        return installed.load()

    def test_it_loads(self, installed: Installed, place: Path) -> None:
        if installed.module is None:
            pytest.skip("it brings commands only")
        host = system_in(place, {installed.name: installed.load()}).host
        lost = [check.name for check in host.checks() if check.state != "ok" and not check.fix]
        broken = [f"{info.stage}: {info.error}" for info in host.plugins if info.state != "ok"]
        assert not broken, f"the plugin is not usable (at {'; '.join(broken)})"
        assert not lost, f"llmos doctor would tell of {', '.join(lost)}, and not what to do"

    def test_its_import_is_light(self, installed: Installed) -> None:
        if installed.module is None:
            pytest.skip("it brings commands only")
        heavy = _third_party(installed.module.partition(":")[0], installed)
        assert not heavy, f"importing {installed.module} imports {', '.join(heavy)}: import it where it is used"

    def test_what_looks_like_a_hook_is_one(self, plugin: Any) -> None:
        odd = []
        for name in dir(plugin):
            value = getattr(plugin, name)
            if name.startswith("llmos_") and callable(value) and not hasattr(value, "llmos_impl"):
                odd.append(name)
        assert not odd, f"these lack @hookimpl: {', '.join(odd)}"

    def test_contributions_have_names_of_their_own(self, plugin: Any) -> None:
        for hook in KINDS:
            names = [str(thing.name) for thing in contributed(plugin, hook)]
            assert len(set(names)) == len(names), f"{hook} brings one name twice: {', '.join(names)}"

    def test_contributions_are_described(self, plugin: Any) -> None:
        for hook in KINDS:
            for thing in contributed(plugin, hook):
                said = getattr(thing, "description", None) or type(thing).__doc__
                assert str(said or "").strip(), f"{hook}: {thing.name} has neither a description nor a docstring"

    def test_settings_refuse_unknown_keys(self, plugin: Any) -> None:
        kind = _settings(plugin)
        try:
            kind.model_validate({**kind().model_dump(), "no_such_key_of_it": 1})
        except ValidationError as error:
            kinds = {found["type"] for found in error.errors()}
            if "extra_forbidden" in kinds:
                return
        raise AssertionError(f'{kind.__name__} takes a key that it does not know: give it extra="forbid"')

    def test_settings_have_valid_defaults(self, plugin: Any) -> None:
        kind = _settings(plugin)
        try:
            kind.model_validate(kind().model_dump())
        except ValidationError as error:
            raise AssertionError(f"the defaults of {kind.__name__} are wrong: {error}") from error

    def test_settings_are_explained(self, plugin: Any) -> None:
        kind = _settings(plugin)
        own = kind.__doc__ if kind.__doc__ != BaseModel.__doc__ else None
        described = all(field.description for field in kind.model_fields.values())
        assert described or (own or "").strip(), f"{kind.__name__} has neither a docstring nor field descriptions"

    def test_metadata_names_the_entry_point_as_the_settings_may(self, installed: Installed) -> None:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", installed.name), f"[plugins.{installed.name}] is no table"

    def test_metadata_requires_a_range_of_the_core(self, installed: Installed) -> None:
        needs = [Requirement(text) for text in installed.requires]
        [*core] = [need for need in needs if normalised(need.name) == "llmos-core" and need.marker is None]
        assert core, "it does not require llmos-core"
        signs = {part.operator for part in core[0].specifier}
        whole = signs & {"~=", "=="} or (signs & {">=", ">"} and signs & {"<", "<="})
        assert whole, f'"{core[0]}" is no range: say, for example, llmos-core>=0.1,<0.2'
        version = Version(llmos_core.__version__)
        assert core[0].specifier.contains(version, prereleases=True), f"it is not for llmos-core {version}"

    def test_metadata_declares_every_import(self, installed: Installed) -> None:
        required = {normalised(Requirement(text).name) for text in installed.requires}
        missing = undeclared(_package(installed), required)
        assert not missing, f"imported, and not among its requirements: {', '.join(missing)}"

    def test_metadata_tells_what_it_is(self, installed: Installed) -> None:
        about = installed.about
        assert str(about["Summary"] or "").strip(), "the distribution has no summary"
        text = str(about.get("Description") or about.get_payload() or "")  # type: ignore[attr-defined]
        assert text.strip(), "the distribution has no README"

    def test_it_imports_public_names_only(self, installed: Installed) -> None:
        public = set(vars(llmos_core)["__all__"])
        odd = set()
        for _, (module, name) in imports(_package(installed)):
            deep = module.startswith("llmos_core.") and module not in _PUBLIC_MODULES
            hidden = module == "llmos_core" and name is not None and name not in {*public, "commands"}
            if deep or hidden:
                odd.add(f"{module}.{name}" if name else module)
        assert not odd, f"these are no public names of llmos_core: {', '.join(sorted(odd))}"

    def test_it_imports_no_other_plugin(self, installed: Installed) -> None:
        others = _other_plugins(installed)
        met = {module.partition(".")[0] for _, (module, _) in imports(_package(installed))} & others
        assert not met, f"plugins meet in hooks and records; it imports {', '.join(sorted(met))}"

    async def test_commands_work(self, installed: Installed) -> None:
        import click

        for entry in installed.commands:
            command = await anyio.to_thread.run_sync(entry.load)
            assert isinstance(command, click.Command), f"{entry.value} is no click command"
            assert (command.help or "").strip(), f"the command {entry.name} has no help"

    def test_commands_import_lightly(self, installed: Installed) -> None:
        for entry in installed.commands:
            heavy = _third_party(entry.module, installed)
            assert not heavy, f"importing {entry.module} imports {', '.join(heavy)}: import it where it is used"


def _settings(plugin: Any) -> type[BaseModel]:
    hook = getattr(plugin, "llmos_settings", None)
    if hook is None:
        pytest.skip("it has no settings")
    kind: type[BaseModel] = hook()
    return kind


def _package(installed: Installed) -> str:
    return installed.package or ""


def _third_party(module: str, installed: Installed) -> list[str]:
    """The packages that importing a module brings in, of those that neither Python nor the core has imported."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, module], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"importing {module} failed: {done.stderr.strip()[-300:]}"
    own = {_package(installed)}
    return sorted({*json.loads(done.stdout)} - own - set(sys.stdlib_module_names))


_SCRIPT = """
import json, sys
from importlib import import_module
import anyio.abc, anyio.to_thread, click, llmos_core.commands, pydantic
from llmos_core import LLMOSError, Task, Tool, hookimpl
before = set(sys.modules)
import_module(sys.argv[1])
tops = {name.partition(".")[0] for name in before}
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - tops)))
"""


def _other_plugins(installed: Installed) -> set[str]:
    from importlib import metadata

    packages = {entry.module.partition(".")[0] for entry in metadata.entry_points(group=PLUGIN_GROUP)}
    return packages - {_package(installed)}

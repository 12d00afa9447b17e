"""The pytest plugin: the fixtures, loaded in every run of pytest, so it imports nothing of LLM OS until one is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite("llmos_testkit.conformance")

from llmos_testkit.conformance.options import pytest_addoption, pytest_collectstart  # noqa: E402 - rewritten first

if TYPE_CHECKING:
    from llmos_testkit.clock import FakeClock
    from llmos_testkit.command_line import LlmosCli
    from llmos_testkit.distributions import PluginDistributions
    from llmos_testkit.scripted_model import ScriptedModel
    from llmos_testkit.systems import MakeHost, MakeSystem

__all__ = ["pytest_addoption", "pytest_collectstart"]


@pytest.fixture
def llmos_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty home of the test's user: this process sees no settings, key or variable of the real one."""
    from llmos_testkit.isolation import isolate

    home = tmp_path / "llmos-home"
    home.mkdir()
    isolate(home, monkeypatch)
    return home


@pytest.fixture
def llmos_system(llmos_home: Path, tmp_path: Path) -> MakeSystem:
    """Makes systems of the given plugins alone, in memory or with ``on_disk=True``.

    Example::

        system = llmos_system(my_plugin, settings={"plugins": {"my-plugin": {"word": "Hi"}}})
        result = await call_tool(system, "Greet", {"name": "Ada"})

    """
    from llmos_testkit.systems import MakeSystem

    return MakeSystem(llmos_home, _site(tmp_path))


@pytest.fixture
def llmos_host(llmos_system: MakeSystem) -> MakeHost:
    """Loads the given plugins alone; what it gives tells their states and faults.

    Example::

        assert [info.state for info in llmos_host(my_plugin).plugins if info.name == "my-plugin"] == ["ok"]

    """
    from llmos_testkit.systems import MakeHost

    return MakeHost(llmos_system)


@pytest.fixture
def plugin_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginDistributions]:
    """Installs distributions for this process and those it starts; at the end they are gone, and their modules too.

    Example::

        plugin_distribution("llmos-plugin-greeter", SOURCE, requires=["llmos-core>=99"])
        listed = json.loads(llmos_cli("plugins", "list", "--json").stdout)

    """
    from llmos_testkit.distributions import install_site, remove_site

    distributions = install_site(_site(tmp_path), monkeypatch)
    yield distributions
    remove_site(distributions.site)


@pytest.fixture
def scripted_model() -> Iterator[ScriptedModel]:
    """A model on loopback that says what the test tells it to, for ``llmos`` and for the real Claude Code CLI.

    Example::

        scripted_model.replies([use("Bash", command="echo hello")], "It said hello.")
        done = llmos_cli("run", "Say hello", **scripted_model.environment)

    """
    from llmos_testkit.scripted_model import model_in_thread

    with model_in_thread() as model:
        yield model


@pytest.fixture
def llmos_cli(tmp_path: Path) -> LlmosCli:
    """Runs the installed ``llmos`` in a process of its own, whose user has an empty home and no key.

    Example::

        done = llmos_cli("plugins", "list")
        assert done.returncode == 0, done.stderr

    """
    from llmos_testkit.command_line import make_cli

    return make_cli(tmp_path / "llmos-cli")


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """The time of the core and of event loops, moved by hand.

    Example::

        await fake_clock.advance(hours=1)

    """
    from llmos_testkit.clock import clock_in_hand

    with clock_in_hand() as clock:
        yield clock


def _site(tmp_path: Path) -> Path:
    return tmp_path / "llmos-site"

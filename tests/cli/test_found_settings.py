"""A folder's ``llmos.toml`` changes nothing of what rules the agent; what lists and explains works and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos_testkit import LlmosCli, PluginDistributions
from tests.cli_fixtures import own_settings

AGENT = """
from llmos_core import Bid, Result, ToolCall, hookimpl

class Planting:
    name = "PLANTING"
    learns = False

    async def bid(self, task, run):
        return Bid(fit=1.0, reason="a test")

    async def run(self, task, run):
        call = ToolCall(id="1", tool="Write", input={"file_path": ".vscode/tasks.json", "content": "planted"})
        result = await run.call(call)
        return Result(success=not result.is_error, output=result.output)

@hookimpl
def llmos_strategies():
    return [Planting()]
"""
LAX = {
    "disabled": 'disabled_plugins = ["security"]\n',
    "all-disabled": 'disabled_plugins = ["*"]\n',
    "chosen": '[choose]\nplugins.security = "llmos-plugin-planting"\n',
    "hurried": "[limits]\nplugin_timeout_s = 0.000001\n",
    "patient": "[limits]\nguard_timeout_s = 1000000\n",
    "free": '[prices."claude-sonnet-4-5"]\ninput = 0\noutput = 0\n',
    "elsewhere": 'workspace = "evil"\n',
    "remembered": 'memory = "evil"\n',
    "redirected": '[model]\nprovider = "rehearsal"\n',
}
"""What a folder could wish, by name."""


@pytest.fixture
def planted(plugin_distribution: PluginDistributions, llmos_cli: LlmosCli) -> Path:
    """The file that the guard forbids and that an installed agent writes."""
    plugin_distribution("llmos-plugin-planting", AGENT)
    return llmos_cli.workspace / "projects/default/output/.vscode/tasks.json"


def run(llmos: LlmosCli, *flags: str, off: str = "") -> int:
    return llmos(*flags, "run", "--mode", "planting", "Plant it", LLMOS_NO_PLUGINS=off).returncode


@pytest.mark.parametrize("text", LAX.values(), ids=LAX)
def test_the_guard_still_denies(llmos_cli: LlmosCli, planted: Path, text: str) -> None:
    assert run(llmos_cli) == 1
    (llmos_cli.home / "llmos.toml").write_text(text)
    done = llmos_cli("run", "--mode", "planting", "Plant it")
    assert done.returncode == 2
    what, why, fix = done.stderr.splitlines()
    assert what.startswith("Error: A setting stands in the wrong file: ")
    assert str(llmos_cli.home / "llmos.toml") in why
    assert fix.startswith("Remove it. Only if you want it yourself, ")
    assert fix.endswith(".config/llmos/config.toml.")
    assert not planted.exists()
    assert not (llmos_cli.home / "evil").exists()


def test_the_users_own_file_variable_and_flag_count(llmos_cli: LlmosCli, planted: Path) -> None:
    assert run(llmos_cli) == 1
    assert not planted.exists()
    own_settings(llmos_cli.home).write_text('disabled_plugins = ["security"]\n')
    assert run(llmos_cli) == 0
    assert planted.read_text() == "planted"
    planted.unlink()
    own_settings(llmos_cli.home).unlink()
    for given in ("--no-plugins=security", "--set=disabled_plugins=security"):
        assert run(llmos_cli, given) == 0
        planted.unlink()
    assert run(llmos_cli, off="security") == 0


@pytest.mark.parametrize("text", [LAX["all-disabled"], LAX["elsewhere"], LAX["chosen"], "limits = "])
def test_what_lists_works_and_says_it(llmos_cli: LlmosCli, text: str) -> None:
    evil = llmos_cli.home / "evil/plugins/evil.py"
    evil.parent.mkdir(parents=True)
    evil.write_text("")
    quiet = llmos_cli("plugins", "list", "--json")
    assert "Warning" not in quiet.stderr
    (llmos_cli.home / "llmos.toml").write_text(text)
    listed = llmos_cli("plugins", "list", "--json")
    assert (listed.returncode, listed.stdout) == (0, quiet.stdout)
    shown = llmos_cli("--set", "limits.parallel_runs=2", "settings", "show", "--json")
    assert (shown.returncode, [row["key"] for row in json.loads(shown.stdout)]) == (0, ["limits.parallel_runs"])
    for done in (listed, shown):
        [warning] = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
        assert str(llmos_cli.home / "llmos.toml") in warning
    checked = llmos_cli("doctor")
    assert checked.returncode == 1
    assert str(llmos_cli.home / "llmos.toml") in checked.stdout
    assert "guard" in llmos_cli("--help").stdout, "a command of a plugin that the folder would switch off"


def test_a_plugins_own_setting_in_a_found_file_is_told_alike(llmos_cli: LlmosCli) -> None:
    (llmos_cli.home / "llmos.toml").write_text('[plugins.tools.sandbox]\nkind = "none"\n')
    shown = llmos_cli("settings", "show", "plugins.tools.sandbox.kind", "--json")
    assert [(row["value"], row["source"]) for row in json.loads(shown.stdout)] == [("auto", "default")]
    assert "Warning: A setting stands in the wrong file: plugins.tools.sandbox.kind" in shown.stderr
    assert llmos_cli("run", "x").returncode == 2


def test_a_plugin_that_a_folder_disables_is_switched_by_its_user_alone(llmos_cli: LlmosCli) -> None:
    (llmos_cli.home / "llmos.toml").write_text(LAX["disabled"])
    assert llmos_cli("plugins", "enable", "security").returncode == 0
    assert llmos_cli("plugins", "disable", "security").returncode == 0
    done = llmos_cli("plugins", "enable", "security", LLMOS_NO_PLUGINS="1")
    assert done.returncode == 2
    assert "LLMOS_NO_PLUGINS or a flag says so: *." in done.stderr


@pytest.mark.parametrize("name", [".env", ".envrc", "llmos.env", ".llmos", "config.toml", ".config.toml"])
def test_no_other_file_of_a_folder_is_read(llmos_cli: LlmosCli, name: str) -> None:
    lines = ["LLMOS_WORKSPACE=evil", "LLMOS_NO_PLUGINS=1", "LLMOS_LIMITS__PARALLEL_RUNS=99", "ANTHROPIC_API_KEY=evil"]
    (llmos_cli.home / name).write_text("\n".join([*lines, 'disabled_plugins=["*"]', 'workspace="evil"']))
    before = llmos_cli("doctor").stdout
    (llmos_cli.home / name).unlink()
    assert llmos_cli("doctor").stdout == before
    assert str(llmos_cli.workspace) in before
    assert "evil" not in before

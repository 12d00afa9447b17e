"""The plugin template: what it makes passes its own checks, is listed after one install, and works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmos_testkit import LlmosCli
from tests.cli_fixtures import own_settings

KINDS = ("tool", "guard", "agent", "memory", "strategy")
PLUGINS = {
    "my-greeter": ["tool"],
    "x": ["guard"],
    "no": ["agent"],  # a word of YAML
    "m3-store": ["memory"],
    "lister": ["strategy"],
    "a-name-as-long-as-the-template-allows-40": [*KINDS],
}
"""What is made, by name: every kind alone, and all together."""

DESCRIPTION = 'Says "h\u00e9llo" \\ {{ 7*7 }} \u65e5\u672c \U0001f600 <b>\'x\' # """'
AUTHOR = 'Ada "L" \u00d8, \\ Ltd.'
HOOKS = {
    "tool": ["llmos_tools"],
    "guard": ["llmos_pre_tool_use", "llmos_settings"],
    "agent": ["llmos_agents"],
    "memory": ["llmos_memory_backends"],
    "strategy": ["llmos_strategies"],
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template")


@pytest.fixture(scope="module")
def made(root: Path) -> dict[str, Path]:
    """All plugins, made from the template."""
    for name, kinds in PLUGINS.items():
        _make(name, root / name, kinds)
    return {name: root / name for name in PLUGINS}


def _make(name: str, place: Path, kinds: Sequence[str]) -> None:
    from llmos_testkit.new import new

    options = [*(f"--kind={kind}" for kind in kinds), f"--description={DESCRIPTION}", f"--author={AUTHOR}"]
    new.main([name, str(place), *options, "--json"], standalone_mode=False)


@pytest.fixture(scope="module")
def site(root: Path, made: dict[str, Path]) -> Path:
    """Where their wheels are installed, by one call of pip."""
    for place in made.values():
        _do(["hatchling", "build", "-t", "wheel", "-d", str(root / "dist")], cwd=place)
    wheels = [str(wheel) for wheel in (root / "dist").glob("*.whl")]
    _do(["pip", "install", "-q", "--no-deps", "--no-index", "--target", str(root / "site"), *wheels], cwd=root)
    return root / "site"


def _do(command: Sequence[str], cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("name", PLUGINS)
def test_what_it_makes_passes_its_own_checks(root: Path, made: dict[str, Path], site: Path, name: str) -> None:
    place = made[name]
    tested = _do(["pytest", "-q", "-p", "no:cacheprovider"], cwd=place, PYTHONPATH=f"src{os.pathsep}{site}")
    assert "passed" in tested
    assert "warning" not in tested
    _lint(place)
    _do(["mypy", "--strict", "src"], cwd=place, MYPY_CACHE_DIR=str(root / "mypy"))


def test_its_lines_fit_a_short_name_too(tmp_path: Path) -> None:
    _make("e", tmp_path, KINDS)
    _lint(tmp_path)


def _lint(place: Path) -> None:
    _do(["ruff", "check", "--no-cache"], cwd=place)
    _do(["ruff", "format", "--check", "--no-cache"], cwd=place)


@pytest.mark.parametrize("name", PLUGINS)
def test_nothing_is_left_over(made: dict[str, Path], name: str) -> None:
    """A kind that was not chosen leaves no file, no word and no dependency."""
    texts = {
        path: path.read_text("utf-8")
        for path in made[name].rglob("*")
        if path.is_file() and ".git" not in path.name and path.suffix != ".pyc"
    }
    everything = "\n".join([str(path.relative_to(made[name])) for path in texts] + list(texts.values()))
    words = {
        "tool": ("CountWords", "test_tool"),
        "guard": ("GuardSettings", "write_only", "test_guard"),
        "agent": ("llmos_agents", "agents/", "test_agent"),
        "memory": ("sqlite", "Sqlite", "test_memory"),
        "strategy": ("ListFiles", "test_strategy"),
    }
    for kind in KINDS:
        there = [word for word in words[kind] if word in everything]
        assert there == list(words[kind] if kind in PLUGINS[name] else ())
    assert ("anyio>=" in everything) == bool({"tool", "memory"} & set(PLUGINS[name]))
    assert ("pydantic>=" in everything) == bool({"tool", "guard"} & set(PLUGINS[name]))
    assert ("llmos-plugin-tools>=" in everything) == bool({"guard", "strategy"} & set(PLUGINS[name]))
    assert "{%" not in everything


def test_it_is_listed_after_one_install(site: Path, llmos_cli: LlmosCli) -> None:
    def rows(*command: str) -> dict[str, dict[str, object]]:
        done = llmos_cli("plugins", *command, "--json", PYTHONPATH=str(site))
        assert done.returncode == 0, done.stdout + done.stderr
        return {row["name"]: row for row in json.loads(done.stdout) if row["name"] in PLUGINS}

    listed = rows("list")
    assert {
        name: (row["distribution"], row["version"], row["state"], row["summary"]) for name, row in listed.items()
    } == {name: (f"llmos-plugin-{name}", "0.1.0", "ok", DESCRIPTION) for name in PLUGINS}
    checked = rows("check", *PLUGINS)
    assert {name: row["notes"] for name, row in checked.items()} == {name: [] for name in PLUGINS}
    for name, kinds in PLUGINS.items():
        row = checked[name]
        assert row["hooks"] == sorted(hook for kind in kinds for hook in HOOKS[kind])
        mode, tool = name.replace("-", "_").upper(), name.title().replace("-", "")
        contributed = (row["tools"], row["agents"], row["backends"], row["strategies"])
        brings = {"tool": tool, "agent": name, "memory": name, "strategy": mode}
        assert contributed == tuple([thing] if kind in kinds else [] for kind, thing in brings.items())


USE = """
import json, sys
import anyio
from llmos_core import LLMOS
from llmos_testkit import Script, calls, make_plugin

async def main(tool, input, *modes):
    script = make_plugin(strategies=[Script(calls((tool, json.loads(input))), learns=True)])
    async with LLMOS(plugins={"script": script}) as system:
        for mode in modes:
            outcome = await system.execute("Use the plugin", mode=mode, directory="work")
            print(outcome.model_dump_json())

anyio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def work(llmos_cli: LlmosCli) -> Path:
    directory = llmos_cli.home / "work"
    directory.mkdir()
    (directory / "notes.md").write_text("one two\nthree\n", "utf-8")
    return directory


def use(llmos_cli: LlmosCli, site: Path, tool: str, input: dict[str, str], *modes: str) -> list[dict[str, object]]:
    """The outcomes of runs in these modes, in a process that has the plugins installed."""
    done = subprocess.run(
        [sys.executable, "-c", USE, tool, json.dumps(input), *modes],
        cwd=llmos_cli.home,
        env={**llmos_cli.environment, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_its_tool_is_learned_and_followed(site: Path, llmos_cli: LlmosCli, work: Path) -> None:
    learned, followed = use(llmos_cli, site, "MyGreeter", {"path": "notes.md"}, "script", "follower")
    assert (learned["mode"], learned["output"]) == ("SCRIPT", "notes.md: 2 lines, 3 words")
    assert learned["followable"], learned
    assert (followed["mode"], followed["success"], followed["steps"]) == ("FOLLOWER", True, 1)
    assert (followed["output"], followed["cost_usd"]) == (learned["output"], 0)


def test_its_guard_judges_as_the_settings_say(site: Path, llmos_cli: LlmosCli, work: Path) -> None:
    own_settings(llmos_cli.home).write_text('[plugins.x]\nwrite_only = ["*.md"]\n', "utf-8")
    [written] = use(llmos_cli, site, "Write", {"file_path": "new.md", "content": "new"}, "script")
    [refused] = use(llmos_cli, site, "Write", {"file_path": "new.py", "content": "new"}, "script")
    assert written["success"], written
    assert refused["output"] == "Write was refused: only *.md may be written, not new.py"
    assert sorted(path.name for path in work.iterdir()) == ["new.md", "notes.md"]


def test_its_strategy_and_its_memory_serve_a_run(site: Path, llmos_cli: LlmosCli, work: Path) -> None:
    settings = 'memory = "m3-store"\ndisabled_plugins = ["a-name-as-long-as-the-template-allows-40"]\n'
    own_settings(llmos_cli.home).write_text(settings, "utf-8")
    done = llmos_cli("run", "List the files *.md", "--dir", "work", "--json", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["mode"], outcome["output"]) == ("LISTER", "notes.md")
    use(llmos_cli, site, "Read", {"file_path": "notes.md"}, "script")
    assert len(json.loads(llmos_cli("traces", "list", "--json", PYTHONPATH=str(site)).stdout)) == 1
    assert [path.name for path in (llmos_cli.workspace / "memories").glob("*.sqlite")] == ["m3-store.sqlite"]


def test_the_command_is_there_once_the_test_kit_is_installed(llmos_cli: LlmosCli) -> None:
    assert "new" in llmos_cli("plugins", "--help").stdout
    done = llmos_cli("plugins", "new", "my-greeter")
    assert done.returncode == 0, done.stderr
    assert (llmos_cli.home / "llmos-plugin-my-greeter/pyproject.toml").is_file()
    again = llmos_cli("plugins", "new", "my-greeter", "--json")
    assert again.returncode == 2
    assert json.loads(again.stdout)["error"]["what"] == "llmos-plugin-my-greeter has files in it."


def test_the_wheel_of_the_test_kit_holds_the_template(tmp_path: Path) -> None:
    import zipfile

    kit = Path(__file__).parent.parent / "llmos-testkit"
    template = kit.parent / "llmos-plugin-template"
    _do(["hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=kit)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name.removeprefix("llmos_testkit/template/") for name in archive.namelist() if "/template/" in name}
        assert held == {path.relative_to(template).as_posix() for path in template.rglob("*") if path.is_file()}
        archive.extractall(tmp_path / "site")
    made = tmp_path / "made"
    code = f"from llmos_testkit.new import new; new(['my-greeter', {str(made)!r}])"
    _do_code(code, PYTHONPATH=str(tmp_path / "site"))
    assert (made / "pyproject.toml").is_file()
    assert str(tmp_path / "site") in (made / ".copier-answers.yml").read_text("utf-8")


def _do_code(code: str, **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

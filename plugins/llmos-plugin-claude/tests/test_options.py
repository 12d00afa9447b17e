"""How the CLI is started: sealed off, with the kernel's tools only."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from llmos_core import AgentSpec, Notice, Task, UsageError
from llmos_plugin_claude import options as module
from llmos_plugin_claude.bridge import Bridge
from llmos_plugin_claude.options import (
    SYSTEM_PROMPT,
    agent_spec_to_definition,
    build_options,
    cli_environment,
    private_home,
)
from llmos_plugin_claude.settings import ClaudeSettings

from .fakes import FakeRun

HELPER = AgentSpec(name="helper", description="Helps.", system_prompt="You help.")


def options_of(run: FakeRun, settings: ClaudeSettings | None = None) -> module.ClaudeAgentOptions:
    bridge = Bridge(run, lambda error: None)
    return build_options(run, settings or ClaudeSettings(), bridge, {"A": "1"}, lambda line: None)


def test_the_cli_gets_no_tools_of_its_own(workdir: Path) -> None:
    options = options_of(FakeRun(workdir))
    assert (options.tools, options.allowed_tools) == ([], ["mcp__llmos"])
    assert list(options.mcp_servers) == ["llmos"]
    assert options.setting_sources == []
    assert options.strict_mcp_config
    assert options.verbatim_prompts
    assert not options.include_partial_messages
    assert options.permission_mode is None
    assert options.cwd == workdir
    assert options.env == {"A": "1"}
    assert {matcher.on_failure for matchers in options.hooks.values() for matcher in matchers} == {"block"}
    assert options.hooks["PreToolUse"][0].matcher is None


def test_agents_bring_the_tool_that_starts_them(workdir: Path) -> None:
    options = options_of(FakeRun(workdir, agents={"helper": HELPER}))
    assert (options.tools, options.allowed_tools) == (["Agent"], ["mcp__llmos", "Agent"])
    assert list(options.agents) == ["helper"]


def test_a_task_goes_before_the_settings(workdir: Path) -> None:
    plain = options_of(FakeRun(workdir))
    assert (plain.model, plain.max_turns, plain.system_prompt) == ("sonnet", 50, SYSTEM_PROMPT)
    settings = ClaudeSettings(model="opus", max_turns=7, system_prompt="Mine.")
    of_settings = options_of(FakeRun(workdir), settings)
    assert (of_settings.model, of_settings.max_turns, of_settings.system_prompt) == ("opus", 7, "Mine.")
    of_task = options_of(FakeRun(workdir, task=Task(goal="x", model="haiku", max_turns=3)), settings)
    assert (of_task.model, of_task.max_turns) == ("haiku", 3)
    assert options_of(FakeRun(workdir), ClaudeSettings(system_prompt="")).system_prompt == ""


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (None, ["mcp__llmos__Read", "mcp__llmos__Bash"]),
        (("Bash",), ["mcp__llmos__Bash"]),
        ((), []),
        (("Agent",), ["mcp__llmos__Agent"]),
    ],
)
def test_an_agent_has_kernel_tools_only(tools: tuple[str, ...] | None, expected: list[str]) -> None:
    spec = AgentSpec(name="a", description="d", system_prompt="p", tools=tools, model="haiku")
    definition = agent_spec_to_definition(spec, {"Read": 1, "Bash": 2})
    assert definition.tools == expected
    assert (definition.description, definition.prompt, definition.model) == ("d", "p", "haiku")


def test_an_agents_constraints_are_told_to_it() -> None:
    spec = AgentSpec(name="a", description="d", system_prompt="p", constraints=("Must be short", "No tables"))
    assert agent_spec_to_definition(spec, {}).prompt == "p\n- Must be short\n- No tables"


def test_of_our_environment_only_harmless_variables_reach_the_cli(tmp_path: Path) -> None:
    parent = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "TZ": "UTC",
        "HOME": "/home/someone",
        "ANTHROPIC_API_KEY": "sk-real",
        "ANTHROPIC_AUTH_TOKEN": "bearer",
        "ANTHROPIC_MODEL": "opus",
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "CLAUDE_CODE_ENTRYPOINT": "cli",
        "IS_SANDBOX": "1",
        "AWS_SECRET_ACCESS_KEY": "aws",
        "HTTPS_PROXY": "http://user:password@proxy",
        "MY_TOKEN": "mine",
    }
    ours = cli_environment("http://127.0.0.1:1", "token", tmp_path, parent)
    seen = {name: value for name, value in (parent | ours).items() if value}
    assert {name for name in parent if name in seen} == {
        *("PATH", "LANG", "LC_ALL", "TZ", "HOME", "ANTHROPIC_API_KEY", "CLAUDE_CODE_ENTRYPOINT")
    }
    assert seen["ANTHROPIC_API_KEY"] == "token"
    assert seen["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1"
    places = [Path(seen[name]) for name in ("HOME", "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_TMPDIR")]
    assert len({*places}) == 3
    assert all(place.parent == tmp_path for place in places)


async def test_the_private_home_is_outside_and_goes_away(workdir: Path, temporary: Path) -> None:
    run = FakeRun(workdir)
    async with private_home(run) as home:
        assert home.parent == temporary
        assert home.stat().st_mode & 0o777 == 0o700
        (home / "config" / "file").write_text("x")
        assert {path.name for path in home.iterdir()} == {"home", "config", "tmp"}
    assert list(temporary.iterdir()) == []
    with pytest.raises(KeyError):
        async with private_home(run):
            raise KeyError
    assert list(temporary.iterdir()) == []
    assert run.events == []


async def test_a_home_that_cannot_be_removed_is_told(
    workdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FakeRun(workdir)

    def refuse(path: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(module.shutil, "rmtree", refuse)
    async with private_home(run):
        pass
    assert [notice.text.endswith("could not be removed: not yours") for notice in run.of(Notice)] == [True]


@pytest.mark.parametrize("inside", ["", "deeper/still"])
async def test_a_home_within_reach_of_the_agent_is_refused(
    workdir: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workdir / inside
    place.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with pytest.raises(UsageError, match="holds the system's temporary files"):
        async with private_home(FakeRun(workdir)):
            pass
    assert list(place.iterdir()) == []

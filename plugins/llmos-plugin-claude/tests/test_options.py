"""How the CLI is started: sealed off, with the kernel's tools only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import HookMatcher
from pydantic import ValidationError

from llmos_core import AgentSpec, SettingsError, Task, UsageError
from llmos_core.host.settings import SettingsFile, check_own
from llmos_plugin_claude.extras import Extras, bringing
from llmos_plugin_claude.prompt import SYSTEM_PROMPT
from llmos_plugin_claude.sdk import options as module
from llmos_plugin_claude.sdk.bridge import Bridge
from llmos_plugin_claude.sdk.options import agent_spec_to_definition, build_options, cli_environment
from llmos_plugin_claude.settings import ClaudeSettings

from .fakes import FakeRun

HELPER = AgentSpec(name="helper", description="Helps.", system_prompt="You help.")


async def options_of(run: FakeRun) -> module.ClaudeAgentOptions:
    bridge = Bridge(run, lambda error: None)
    return await build_options(run, run.settings(ClaudeSettings), bridge, {"A": "1"}, lambda line: None)


async def test_the_cli_gets_no_tools_of_its_own(workdir: Path) -> None:
    options = await options_of(FakeRun(workdir))
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


async def test_agents_bring_the_tool_that_starts_them(workdir: Path) -> None:
    options = await options_of(FakeRun(workdir, agents={"helper": HELPER}))
    assert (options.tools, options.allowed_tools) == (["Agent"], ["mcp__llmos", "Agent"])
    assert list(options.agents) == ["helper"]


async def test_a_task_goes_before_the_settings(workdir: Path) -> None:
    plain = await options_of(FakeRun(workdir))
    assert (plain.model, plain.max_turns, plain.system_prompt) == ("sonnet", 50, SYSTEM_PROMPT)
    settings = ClaudeSettings(model="opus", max_turns=7, system_prompt="Mine.", permission_mode="dontAsk")
    of_settings = await options_of(FakeRun(workdir, settings=settings))
    assert (of_settings.model, of_settings.max_turns, of_settings.system_prompt) == ("opus", 7, "Mine.")
    assert of_settings.permission_mode == "dontAsk"
    task = Task(goal="x", model="haiku", max_turns=3, system_prompt="Its.", permission_mode="plan")
    of_task = await options_of(FakeRun(workdir, task=task, settings=settings))
    assert (of_task.model, of_task.max_turns, of_task.system_prompt) == ("haiku", 3, "Its.")
    assert of_task.permission_mode == "plan"
    assert (await options_of(FakeRun(workdir, settings=ClaudeSettings(system_prompt="")))).system_prompt == ""


async def test_what_the_model_may_think_and_who_stands_in(workdir: Path) -> None:
    plain = await options_of(FakeRun(workdir))
    assert (plain.fallback_model, plain.effort, plain.thinking) == (None, None, None)
    settings = ClaudeSettings(fallback_model="haiku", effort="low", thinking=2048)
    options = await options_of(FakeRun(workdir, settings=settings))
    assert (options.fallback_model, options.effort) == ("haiku", "low")
    assert options.thinking == {"type": "enabled", "budget_tokens": 2048}
    off = await options_of(FakeRun(workdir, settings=ClaudeSettings(thinking="disabled")))
    assert off.thinking == {"type": "disabled"}


async def test_native_tools_are_switched_on_one_by_one(workdir: Path) -> None:
    settings = ClaudeSettings(
        native_tools=("WebSearch", "Write"), mcp_servers={"x": {"url": "http://127.0.0.1:1/", "headers": {"a": "b"}}}
    )
    options = await options_of(FakeRun(workdir, settings=settings))
    assert options.tools == ["WebSearch", "Write"]
    # Files and commands are let through as the permission mode says.
    assert options.allowed_tools == ["mcp__llmos", "WebSearch", "mcp__x"]
    assert options.mcp_servers["x"] == {"type": "http", "url": "http://127.0.0.1:1/", "headers": {"a": "b"}}
    assert {"PreToolUse", "PostToolUse", "PostToolBatch"} == set(options.hooks)


async def test_variables_reach_the_cli_only_where_it_executes_something(workdir: Path) -> None:
    task = Task(goal="x", env={"MINE": "1", "HOME": "/elsewhere"})
    assert (await options_of(FakeRun(workdir, task=task))).env == {"A": "1"}
    natively = FakeRun(workdir, task=Task(goal="x", env={"MINE": "1"}), settings=ClaudeSettings(native_tools=("Bash",)))
    assert (await options_of(natively)).env == {"A": "1", "MINE": "1"}
    natively.task = task
    with pytest.raises(UsageError, match="The variable HOME cannot be given"):
        await options_of(natively)


async def test_as_root_the_cli_is_told_that_it_is_contained(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun(workdir, settings=ClaudeSettings(permission_mode="bypassPermissions"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (await options_of(run)).env == {"A": "1", "IS_SANDBOX": "1"}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (await options_of(run)).env == {"A": "1"}


async def test_what_a_caller_brings_ends_with_the_call(workdir: Path) -> None:
    async def hook(event: Any, tool_use_id: str | None, context: Any) -> Any:
        return {}

    theirs = {
        "PreToolUse": [HookMatcher(matcher="Write", hooks=[hook], timeout=3)],
        "Stop": [HookMatcher(hooks=[hook])],
    }
    with bringing(Extras({"helper": HELPER}, theirs)):  # type: ignore[arg-type]
        options = await options_of(FakeRun(workdir))
    assert (options.tools, list(options.agents)) == (["Agent"], ["helper"])
    ours, other = options.hooks["PreToolUse"]
    assert (ours.matcher, ours.on_failure) == (None, "block")
    assert (other.matcher, other.timeout, other.on_failure) == ("Write", 3, None)
    assert options.hooks["Stop"] == theirs["Stop"]
    after = await options_of(FakeRun(workdir))
    assert (after.tools, list(after.hooks)) == ([], ["PreToolUse"])


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


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (None, ["mcp__llmos"]),
        (("Read", "Mine"), ["mcp__llmos__Read", "mcp__llmos__Mine"]),
        (("WebSearch", "mcp__x__y"), ["WebSearch", "mcp__x__y"]),
    ],
)
def test_an_agent_can_be_made_without_a_run(tools: tuple[str, ...] | None, expected: list[str]) -> None:
    spec = AgentSpec(name="a", description="d", system_prompt="p", tools=tools)
    assert agent_spec_to_definition(spec).tools == expected


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


def skill(place: Path, name: str) -> str:
    folder = place / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(f"---\nname: {name}\ndescription: d\n---\nBody.\n")
    return str(folder)


async def test_skills_become_a_plugin_among_the_files_of_the_run(tmp_path: Path, workdir: Path) -> None:
    plugin = tmp_path / "folder"
    skill(plugin / "skills", "three")
    (plugin / ".claude-plugin").mkdir()
    (plugin / ".claude-plugin/plugin.json").write_text(json.dumps({"name": "named"}))
    settings = ClaudeSettings(
        skills=(skill(tmp_path, "one"), skill(tmp_path, "two")), claude_plugins=(str(plugin),), native_tools=("Skill",)
    )
    run = FakeRun(workdir, settings=settings)
    options = await options_of(run)
    assert options.skills == ["named:three", "llmos:one", "llmos:two"]
    assert (options.tools, options.setting_sources) == (["Skill"], [])
    assert [loaded["path"] for loaded in options.plugins] == [str(plugin), str(run.files / "skills")]
    assert (run.files / "skills/skills/two/SKILL.md").read_text().endswith("Body.\n")


@pytest.mark.parametrize("fault", ["no SKILL.md", "same name", "bad name", "bad manifest", "llmos"])
async def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path: Path, workdir: Path, fault: str) -> None:
    plugin = tmp_path / "llmos"
    (plugin / ".claude-plugin").mkdir(parents=True)
    settings: dict[str, Any] = {
        "no SKILL.md": {"skills": [str(tmp_path)]},
        "same name": {"skills": [skill(tmp_path / "a", "one"), skill(tmp_path / "b", "one")]},
        "bad name": {"skills": [skill(tmp_path, "o n e")]},
        "bad manifest": {"claude_plugins": [str(plugin)]},
        "llmos": {"claude_plugins": [str(plugin)], "skills": [skill(tmp_path, "one")]},
    }[fault]
    if fault == "bad manifest":
        (plugin / ".claude-plugin/plugin.json").write_text("[]")
    with pytest.raises(UsageError) as raised:
        await options_of(FakeRun(workdir, settings=ClaudeSettings.model_validate(settings)))
    assert raised.value.why
    assert "plugins.claude." in raised.value.fix


@pytest.mark.parametrize(
    "wrong",
    [
        {"native_tools": ["Wevsearch"]},
        {"native_tools": ["Agent"]},
        {"native_tools": ["EnterWorktree"]},
        {"permission_mode": "plan"},
        {"skills": ["relative/skill"]},
        {"claude_plugins": ["./plugin"]},
        {"mcp_servers": {"llmos": {"command": "x"}}},
        {"mcp_servers": {"a__b": {"command": "x"}}},
        {"mcp_servers": {"a b": {"command": "x"}}},
        {"mcp_servers": {"x": {}}},
        {"mcp_servers": {"x": {"command": "x", "url": "http://x"}}},
        {"thinking": 3},
        {"effort": "much"},
        {"fallback_model": ""},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClaudeSettings.model_validate(wrong)


def test_a_folder_may_lie_below_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ClaudeSettings(skills=("~/one",)).skills == (str(tmp_path / "one"),)


@pytest.mark.parametrize("key", ["skills", "claude_plugins", "mcp_servers", "permission_mode"])
def test_what_starts_programs_stands_in_the_users_own_file(tmp_path: Path, key: str) -> None:
    found = SettingsFile(path=tmp_path / "llmos.toml", found={"plugins": {"claude": {key: "x"}}})
    with pytest.raises(SettingsError, match=f"plugins.claude.{key}"):
        check_own(ClaudeSettings, "claude", found)

"""Systems of the plugins under test alone, and ways to do something in a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict

from llmos_core import (
    BudgetError,
    DeniedError,
    ModelRequest,
    Run,
    SettingsError,
    ToolResult,
    Verdict,
    hookimpl,
    load_settings,
    user_file,
)
from llmos_testkit import (
    MakeHost,
    MakeSystem,
    PluginDistributions,
    Script,
    ScriptedModel,
    ask_model,
    asks,
    call_tool,
    calls,
    in_run,
    judge,
    make_plugin,
)

from .parts import Echo


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: str = "Hello"


class Greeter:
    @hookimpl
    def llmos_settings(self) -> type[BaseModel]:
        return Word


def names(system: Any) -> set[str]:
    return {info.name for info in system.host.plugins if info.state == "ok"}


def test_no_installed_plugin_is_in_it(llmos_system: MakeSystem) -> None:
    assert names(llmos_system(Greeter())) == {"greeter", "llmos-testkit"}
    assert names(llmos_system(Greeter(), on_disk=True)) == {"greeter", "llmos-testkit"}


def test_discovery_finds_what_the_test_installed(
    llmos_system: MakeSystem, plugin_distribution: PluginDistributions
) -> None:
    plugin_distribution("llmos-plugin-one", "from llmos_core import hookimpl\n@hookimpl\ndef llmos_event(event): ...")
    assert names(llmos_system(Greeter(), discover=True)) == {"one", "greeter", "llmos-testkit"}
    assert names(llmos_system(Greeter())) == {"greeter", "llmos-testkit"}


def test_nothing_of_the_user_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "llmos").mkdir(parents=True)
    (theirs / "llmos/config.toml").write_text("this is no TOML")
    for name, value in {
        "XDG_CONFIG_HOME": str(theirs),
        "LLMOS_PROVIDER": "theirs",
        "ANTHROPIC_API_KEY": "theirs",
        "CLAUDE_CONFIG_DIR": str(theirs),
        "HOME": str(theirs),
    }.items():
        monkeypatch.setenv(name, value)
    system = request.getfixturevalue("llmos_system")(on_disk=True)
    assert not [name for name, value in os.environ.items() if value.startswith(("theirs", str(theirs)))]
    assert not user_file().exists()
    assert load_settings(tmp_path).settings.model.provider is None
    assert tmp_path in system.workspace.root.parents


def test_settings_are_those_of_the_test(llmos_system: MakeSystem) -> None:
    system = llmos_system(Greeter(), settings={"plugins": {"greeter": {"word": "Hi"}}})
    assert system.host.settings(Word).word == "Hi"
    with pytest.raises(SettingsError, match=r"plugins\.greeter\.wrd"):
        llmos_system(Greeter(), settings={"plugins": {"greeter": {"wrd": "Hi"}}})


def test_plugins_have_names(llmos_system: MakeSystem, plugin_distribution: PluginDistributions) -> None:
    source = "from llmos_core import hookimpl\n@hookimpl\ndef llmos_event(event): ...\n"
    points = {"llmos.plugins": {"the-one": "llmos_plugin_one.plugin"}}
    modules = {"llmos_plugin_one.plugin": source}
    one = plugin_distribution("llmos-plugin-one", modules, entry_points=points).load()
    two = plugin_distribution("llmos-plugin-two", source, entry_points={}).load()
    assert names(llmos_system(one, two, mine=Greeter())) == {"the-one", "two", "mine", "llmos-testkit"}
    with pytest.raises(ValueError, match="one name"):
        llmos_system(Greeter(), Greeter())


def test_a_host_tells_states(llmos_host: MakeHost) -> None:
    def misspelt(call: Any) -> None: ...

    host = llmos_host(make_plugin(llmos_pre_tool_us=misspelt))
    [info] = [info for info in host.plugins if info.name == "plugin"]
    assert (info.state, info.stage) == ("broken", "register")
    assert "llmos_pre_tool_us" in " ".join(host.faults)


async def test_a_tool_is_called_through_the_door(llmos_system: MakeSystem) -> None:
    seen: list[str] = []

    async def deny(call: Any) -> Verdict | None:
        return Verdict.deny("too loud", rule="loud") if call.input["text"].isupper() else None

    async def watch(call: Any, result: ToolResult) -> None:
        seen.append(result.output)

    echo = Echo()
    system = llmos_system(make_plugin(tools=[echo], llmos_pre_tool_use=deny, llmos_post_tool_use=watch))
    assert await call_tool(system, "Echo", {"text": "hi"}) == ToolResult(output="hi")
    denied = await call_tool(system, "Echo", {"text": "HI"})
    assert (denied.is_error, denied.data["rule"]) == (True, "loud")
    assert (echo.ran, seen) == (["hi"], ["hi"])
    assert (await judge(system, "Echo", {"text": "HI"})).decision == "deny"
    assert (await judge(system, "Unknown", {"text": "hi"})).decision == "allow"
    assert (await call_tool(system, "Echo", {"txt": "x"})).data["rule"] == "invalid-input"


async def test_a_run_does_what_the_test_says(llmos_system: MakeSystem) -> None:
    system = llmos_system(on_disk=True)
    workdir = await in_run(system, _workdir, project="mine")
    assert workdir == system.workspace.root / "projects/mine/output"
    with pytest.raises(ZeroDivisionError):
        await in_run(system, _fail)
    with pytest.raises(AssertionError, match="passed its deadline"):
        await in_run(system, _never, timeout_s=0.01)


async def _workdir(run: Run) -> Path:
    return run.workdir


async def _fail(run: Run) -> float:
    return 1 / 0


async def _never(run: Run) -> None:
    await anyio.sleep_forever()


async def test_a_script_makes_calls(llmos_system: MakeSystem) -> None:
    echo = Echo()
    script = Script(calls(("Echo", {"text": "one"}), ("Echo", {"text": "two"})))
    outcome = await llmos_system(make_plugin(tools=[echo], strategies=[script])).execute("Do it")
    assert (outcome.success, outcome.output, outcome.steps, outcome.mode) == (True, "two", 2, "SCRIPT")
    broken = Script(calls(("Gone", {}), ("Echo", {"text": "three"})))
    outcome = await llmos_system(make_plugin(tools=[echo], strategies=[broken])).execute("Do it")
    assert not outcome.success
    assert echo.ran == ["one", "two"]


async def test_the_model_is_asked_through_the_door(llmos_system: MakeSystem, scripted_model: ScriptedModel) -> None:
    import llmos_plugin_claude.plugin as claude

    async def deny(request: ModelRequest) -> Verdict | None:
        return Verdict.deny("secret") if "secret" in json.dumps(request.message["messages"]) else None

    scripted_model.replies("Hi.")
    script = Script(asks("Hello?", "Hello!"))
    for name, value in scripted_model.environment.items():
        os.environ[name] = value  # the fixture puts it back
    system = llmos_system(claude, make_plugin(strategies=[script], llmos_pre_model_request=deny))
    status, body = await ask_model(system)
    assert status == 200
    assert b'"text": "Hi."' in body
    with pytest.raises(DeniedError):
        await ask_model(system, "a secret")
    outcome = await system.execute("Ask", mode="script")
    assert outcome.success, outcome.error
    assert len(scripted_model.requests) == 3
    assert {request.headers["x-api-key"] for request in scripted_model.requests} == {scripted_model.key}
    dear = llmos_system(claude, settings={"prices": {"claude-sonnet-5-5": {"input": 100, "output": 100}}})
    with pytest.raises(BudgetError):
        await ask_model(dear, max_cost_usd=0.0001)


async def test_the_kits_own_strategy_never_bids(llmos_system: MakeSystem) -> None:
    outcome = await llmos_system().execute("Do it")
    assert outcome.error is not None
    assert "for tests only" in outcome.error.what

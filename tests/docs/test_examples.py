"""The examples of the reference work: each is used as a plugin of a real system."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import llmos_plugin_follower.plugin
import llmos_plugin_tools.plugin
import llmos_plugin_trace.plugin
from llmos_core import (
    LLMOS,
    BudgetError,
    Check,
    DeniedError,
    Note,
    Notice,
    Result,
    Run,
    Task,
    ToolCall,
    Usage,
    UsageError,
    Verdict,
)
from llmos_core.host.host import Host
from llmos_core.host.settings import Settings, SettingsFile
from tests.cli_fixtures import Llmos, environment, home, llmos
from tests.docs.kinds import EXAMPLES
from tests.flow.conftest import ScriptedLearner
from tests.parts import Echo, Model, Parts, Script, ask, call, request

__all__ = ["environment", "home", "llmos"]

Act = Callable[[Run], Awaitable[Any]]


def example(name: str) -> ModuleType:
    """An example as a module; a new one each time, so that none keeps what another test did."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks there for what annotations name
    spec.loader.exec_module(module)
    return module


async def use(
    module: ModuleType,
    act: Act,
    *,
    root: Path | None = None,
    settings: Settings | None = None,
    models: Sequence[Any] = (),
    plugins: Mapping[str, object] | None = None,
) -> Any:
    """What a strategy's ``act`` gives, in a run of a system in which the example is a plugin; its error is raised."""
    answers: list[Any] = []

    async def keep(run: Run) -> str:
        answers.append(await act(run))
        return str(answers[-1])

    parts = Parts(tools=[Echo()], strategies=[Script(keep)], models=models)
    everything = {"example": module, "parts": parts, **(plugins or {})}
    file = SettingsFile(settings=settings or Settings())
    on_disk = partial(LLMOS, root, settings=file, discover=False, plugins=everything)
    system = on_disk() if root else LLMOS.in_memory(everything, file)
    async with system:
        assert [(info.state, info.error) for info in system.host.plugins] == [("ok", None)] * len(everything)
        outcome = await system.execute("Use the example", mode="SCRIPT")
    assert outcome.success, outcome.error
    return answers[0]


def calling(tool: str, **given: Any) -> Act:
    return lambda run: run.call(ToolCall(id="1", tool=tool, input=given))


async def test_tools(tmp_path: Path) -> None:
    output = tmp_path / "projects/default/output"
    output.mkdir(parents=True)
    (output / "poem.txt").write_text("to be or not", "utf-8")
    (output / "noise.bin").write_bytes(b"\xff\xfe\xfd")
    counted = partial(use, example("tools"), root=tmp_path)
    done = await counted(calling("CountWords", file="poem.txt"))
    assert (done.output, done.data, done.is_error) == ("4 words", {"words": 4}, False)
    for name, said in (("../../../x", "outside"), ("none.txt", "No such file"), ("noise.bin", "decode")):
        failed = await counted(calling("CountWords", file=name))
        assert failed.is_error
        assert said in failed.output


async def test_agents() -> None:
    async def agents(run: Run) -> Any:
        return dict(run.agents)

    found = await use(example("agents"), agents)
    assert set(found) == {"counter", "reviewer"}
    assert found["counter"].tools == found["reviewer"].tools == ("Read", "Grep")
    assert found["reviewer"].system_prompt.startswith("You review texts.")
    assert found["reviewer"].constraints == ("Never change a file.",)


async def test_memory_backends(tmp_path: Path) -> None:
    """A goal is learned and followed with it; notes are found by their words."""
    plugins = {
        "example": example("memory_backends"),
        "trace": llmos_plugin_trace.plugin,
        "follower": llmos_plugin_follower.plugin,
        "parts": Parts(tools=[Echo()], strategies=[ScriptedLearner([("Echo", {"text": "hello"})])]),
    }
    settings = SettingsFile(settings=Settings(memory="volatile"))
    async with LLMOS(tmp_path, settings=settings, discover=False, plugins=plugins) as system:
        first = await system.execute("Say hello")
        second = await system.execute("Say hello")
    assert (first.mode, first.followable) == ("LEARNER", True), first
    assert (second.mode, second.output, second.trace_id) == ("FOLLOWER", "hello", first.trace_id)
    assert [path.suffix for path in (tmp_path / "memories").rglob("*.md")] == []

    notes = example("memory_backends").Volatile().note_store(tmp_path)
    for id, text in (("1", "The shop closes at six"), ("2", "The garden has six trees"), ("3", "Nothing")):
        await notes.add(Note(id=id, text=text, created_at=datetime.now(UTC)))
    assert [note.id for note in await notes.search("when closes the shop?")] == ["1", "2"]
    assert await notes.forget("1")
    assert not await notes.forget("1")
    assert await notes.get("1") is None
    assert [note.id async for note in notes.scan()] == ["2", "3"]


async def test_strategies() -> None:
    async with LLMOS.in_memory({"example": example("strategies")}) as system:
        done = await system.execute("Add 20 and 22")
        refused = await system.execute("Write a poem")
        forced = await system.execute("Write a poem", mode="ADDER")
    assert (done.mode, done.success, done.output, done.cost_usd) == ("ADDER", True, "42", 0.0)
    assert not refused.success
    assert forced.error is not None
    assert forced.error.what == "The goal is no sum."


async def test_matchers() -> None:
    plugins = {
        "example": example("matchers"),
        "trace": llmos_plugin_trace.plugin,
        "parts": Parts(tools=[Echo()], strategies=[ScriptedLearner([("Echo", {"text": "hello"})])]),
    }
    async with LLMOS.in_memory(plugins) as system:
        learned = await system.execute("Say hello")
        [matcher] = system.machine.matchers
        run: Any = await system._make_run(Task(goal="SAY Hello"))
        [found] = await matcher.propose(run.task, run)
        assert list(await matcher.propose(Task(goal="Say goodbye"), run)) == []
    assert (found.trace_id, found.version, found.score) == (learned.trace_id, learned.trace_version, 0.95)


async def test_models() -> None:
    body = request(stream=True, messages=[{"role": "user", "content": "Polly wants a cracker"}])
    reply = await use(example("models"), lambda run: ask(run, body))
    [delta] = [line for line in reply.decode().splitlines() if "text_delta" in line]
    assert json.loads(delta.removeprefix("data: "))["delta"]["text"] == "Polly wants a cracker"


async def test_native_tools() -> None:
    async with LLMOS.in_memory({"example": example("native_tools")}) as system:
        done = await system.execute("the moon")
        forbidden = await system.execute("the moon", constraints=["Do not use WebSearch"])
        with pytest.raises(UsageError, match="Wayback"):
            await system.execute("the moon", constraints=["Only tools: Wayback"])
    assert (done.success, done.output, done.steps) == (True, "Nothing is known of: the moon", 1)
    assert (forbidden.success, forbidden.steps) == (False, 0)


async def test_ledgers() -> None:
    """What was asked is booked; what does not fit is refused before it is sent."""
    module, model = example("ledgers"), Model()
    vars(module)["LIMIT_MICROS"] = 6_000

    async def twice(run: Run) -> Any:
        await ask(run)
        try:
            await ask(run, request(max_tokens=100_000))
        except BudgetError as error:
            return error

    error = await use(module, twice, models=[model])
    assert "left" in error.why
    assert len(model.asked) == 1


async def test_a_hold_that_is_not_settled_stays_booked() -> None:
    purse = example("ledgers").Purse()
    async with purse.hold("r", "1", 400_000, "real"):
        pass
    async with purse.hold("r", "2", 300_000, "free") as held:
        await held.settle(0, Usage(), complete=True)
    assert purse.booked_micros == 400_000
    with pytest.raises(BudgetError):
        async with purse.hold("r", "3", 200_000, "real"):
            pass


async def test_settings() -> None:
    greet = partial(use, example("settings"), calling("Greet", who="Ada"))
    assert (await greet()).output == "Hello, Ada!"
    finnish = Settings(plugins={"example": {"language": "fi"}})
    assert (await greet(settings=finnish)).output == "Hei, Ada!"
    with pytest.raises(ValidationError):
        example("settings").GreeterSettings(language="xx")


async def test_guards(tmp_path: Path) -> None:
    """The first denies a command, the second a model; all else passes both."""
    module, model = example("guards"), Model()
    shell = {"tools": llmos_plugin_tools.plugin}
    told = await use(module, calling("Bash", command="git push --force"), root=tmp_path, plugins=shell)
    assert told.is_error
    assert "Nothing is pushed from here." in told.output
    said = await use(module, calling("Bash", command="echo git pull"), root=tmp_path, plugins=shell)
    assert said.output == "git pull"

    async def both(run: Run) -> int:
        await ask(run)
        with pytest.raises(DeniedError, match="refused"):
            await ask(run, request("claude-opus-5"))
        return len(model.asked)

    assert await use(module, both, models=[model]) == 1


async def test_approvers() -> None:
    """It says yes by itself to looking around, and passes on what a person says to all else."""
    module, asked = example("approvers"), list[str]()

    async def guard(call: ToolCall) -> Verdict:
        return Verdict.ask("Is that wise?")

    async def chat(question: str) -> bool | None:
        asked.append(question)
        return "push" not in question

    vars(module)["ask_in_chat"] = chat
    guarded = {"guard": Parts(llmos_pre_tool_use=guard)}

    async def delegate(run: Run) -> list[str]:
        commands = ("git log", "git pull", "git push")
        calls = [ToolCall(id=command, tool="Bash", input={"command": command}) for command in commands]
        return [(await run.judge(call)).decision for call in calls]

    assert await use(module, delegate, plugins=guarded) == ["allow", "allow", "deny"]
    assert [question.rpartition("'git ")[2] for question in asked] == ["pull'}? Is that wise?", "push'}? Is that wise?"]


async def test_observers(tmp_path: Path) -> None:
    module = example("observers")

    async def act(run: Run) -> dict[str, int]:
        await run.call(call("hello"))
        await run.call(ToolCall(id="c2", tool="Read", input={"file_path": "none.txt"}))
        await run.call(call("hello", id="c3"))
        await ask(run)
        run.emit(Notice(level="warning", text="Take care."))
        run.emit(Notice(text="All is well."))
        return dict(module.counts(run))

    files = {"tools": llmos_plugin_tools.plugin}
    counted = await use(module, act, root=tmp_path, models=[Model()], plugins=files)
    assert counted == {"Echo done": 2, "Read failed": 1, "claude-sonnet-5-5 tokens": 1007}
    assert module.WARNINGS == ["Take care."]


async def test_transforms(tmp_path: Path) -> None:
    """Only where there are rules is the prompt another; only a failed outcome is."""

    async def act(run: Run) -> str:
        return await run.submit_prompt("Do it")

    assert await use(example("transforms"), act, root=tmp_path) == "Do it"
    (tmp_path / "rules.txt").write_text("Be brief.", "utf-8")
    assert await use(example("transforms"), act, root=tmp_path) == "Do it\n\nBe brief."

    async def fail(run: Run) -> Result:
        return Result(success=False, output="It broke.")

    plugins = {"example": example("transforms"), "parts": Parts(strategies=[Script(fail)])}
    async with LLMOS.in_memory(plugins) as system:
        outcome = await system.execute("Do it")
    assert outcome.output == f"It broke.\nWhat happened: llmos runs show {outcome.run_id}"


async def test_commands(tmp_path: Path) -> None:
    words = example("commands").words
    poem, missing = tmp_path / "poem.txt", tmp_path / "none.txt"
    poem.write_text("to be or not", "utf-8")
    done = CliRunner().invoke(words, [str(poem), "--json"])
    assert json.loads(done.stdout) == [{"file": str(poem), "words": 4}]
    assert CliRunner().invoke(words, [str(poem)]).stdout.splitlines()[1].split() == [str(poem), "4"]
    assert isinstance(CliRunner().invoke(words, [str(missing)]).exception, UsageError)


def test_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    [missing] = Host(SettingsFile(), discover=False, plugins={"example": example("checks")}).checks()
    assert (missing.name, missing.state, bool(missing.fix)) == ("pandoc", "warning", True)
    (tmp_path / "pandoc").touch(mode=0o755)
    [there] = Host(SettingsFile(), discover=False, plugins={"example": example("checks")}).checks()
    assert there == Check.ok("pandoc", str(tmp_path / "pandoc"))


async def test_local(home: Path, llmos: Llmos, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is off until its user enables it, by the real command; then it guards."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, environment[name])
    folder = home / "workspace/plugins"
    folder.mkdir()
    (folder / "no_push.py").write_bytes((EXAMPLES / "local.py").read_bytes())

    async def push() -> str:
        parts = Parts(strategies=[Script(calling("Bash", command="git push"))])
        async with LLMOS(home / "workspace", settings=SettingsFile(), plugins={"parts": parts}) as system:
            return (await system.execute("Push", mode="SCRIPT")).output

    refusal = "Nothing is pushed from this workspace."
    assert refusal not in await push()
    enabled = await anyio.to_thread.run_sync(llmos, "plugins", "enable", "no_push", "--yes")
    assert enabled.returncode == 0, enabled.stderr.decode()
    assert refusal in await push()


def test_the_hello_plugin_has_twenty_lines() -> None:
    source = (EXAMPLES / "hello/src/llmos_plugin_hello/plugin.py").read_text("utf-8")
    code = [line for line in source.splitlines() if line.strip() and not line.startswith('"""')]
    assert len(code) == 20

"""What guards, counts money or keeps memories is missed when it is away: nothing goes on without it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from llmos_core import LLMOS, BudgetError, Run, SettingsError, Tool, hookimpl
from llmos_core.host.host import Host
from llmos_core.host.settings import LimitSettings, Settings, SettingsFile
from tests.host.test_host import GOOD, Install, install
from tests.parts import Echo, Model, Parts, Script, ask, call

__all__ = ["install"]

pytestmark = pytest.mark.anyio

STRICT = """
from llmos_core import Verdict, hookimpl

@hookimpl
async def llmos_pre_tool_use(call):
    return Verdict.deny("never")
"""

STANDARD = ("mcp", "security", "tools")
"""Guards of the plugins that are installed in any case."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def verdicts(host: Host) -> Sequence[str]:
    return [hook.plugin for hook in host.hook_table()["llmos_pre_tool_use"] if hook.plugin not in STANDARD]


async def reasons(host: Host) -> list[str]:
    return [(await hook.function()).reason for hook in host.hook_table()["llmos_pre_tool_use"] if not hook.arguments]


async def test_a_guard_that_does_not_load_any_more_denies(install: Install, tmp_path: Path) -> None:
    install("strict", STRICT)
    Host(SettingsFile()).remember()
    (tmp_path / "site/strict.py").write_text("raise ImportError('a dependency is gone')")
    import sys

    del sys.modules["strict"]
    for _ in range(2):  # what it was stays known however often it fails
        host = Host(SettingsFile())
        host.remember()
        [reason] = await reasons(host)
        assert "the guard of llmos-plugin-strict/strict was not loaded: it is broken" in reason
    off = Host(SettingsFile(settings=Settings(disabled_plugins=("strict",))))
    assert verdicts(off) == []


async def test_a_guard_that_is_contested_denies(install: Install) -> None:
    install("strict", STRICT)
    Host(SettingsFile()).remember()
    install("rival", GOOD)
    rival = Path(next(p for p in __import__("sys").path if p.endswith("site"))) / "llmos_plugin_rival-1.0.dist-info"
    (rival / "entry_points.txt").write_text("[llmos.plugins]\nstrict = rival\n")
    host = Host(SettingsFile())
    assert {info.state for info in host.plugins if info.name == "strict"} == {"conflict"}
    assert any("llmos-plugin-strict/strict was not loaded: it is conflict" in reason for reason in await reasons(host))


def test_guards_of_broken_and_contested_plugins_still_judge() -> None:
    class Both(Parts):
        @hookimpl
        async def llmos_pre_tool_use(self, call: Any) -> None:
            return None

        @hookimpl
        def llmos_native_tools(self) -> list[Any]:
            return [3]

    plugins = {"one": Both([Echo()]), "two": Parts([Echo()])}
    host = Host(SettingsFile(), discover=False, plugins=plugins)
    host.collect("llmos_tools", Tool)
    assert verdicts(host) == ["one"]
    host.names("llmos_native_tools")
    assert {info.name: info.state for info in host.plugins} == {"one": "broken", "two": "conflict"}
    assert verdicts(host) == ["one"]


def test_what_is_no_function_is_no_hook() -> None:
    class Callable:
        def __call__(self, call: Any) -> None: ...

    class Holds:
        llmos_pre_tool_use = hookimpl(Callable())

    host = Host(SettingsFile(), discover=False, plugins={"holds": Holds()})
    assert [(info.state, info.error) for info in host.plugins] == [
        ("broken", "PluginError: llmos_pre_tool_use is a Callable; a hook must be a function")
    ]


def test_arguments_that_would_never_come_are_told() -> None:
    class Waits:
        @hookimpl
        def llmos_tools(self, settings: Any = None) -> list[Any]:
            return []

    host = Host(SettingsFile(), discover=False, plugins={"waits": Waits()})
    assert "llmos_tools would never be given settings" in str(host.plugins[0].error)


class Picky(BaseModel):
    model_config = ConfigDict(extra="forbid")

    blocked: str = "nothing"
    token: SecretStr = SecretStr("")

    @field_validator("blocked")
    @classmethod
    def known(cls, text: str) -> str:
        raise KeyError(f"no list has {text}")


class Asks:
    kind: type[BaseModel] = Picky

    @hookimpl
    def llmos_settings(self) -> type[BaseModel]:
        return self.kind


def test_settings_that_could_not_be_read_are_not_those_of_somebody_else() -> None:
    file = SettingsFile(settings=Settings(plugins={"asks": {"blocked": "rm"}}))
    host = Host(file, discover=False, plugins={"asks": Asks()})
    assert host.plugins[0].state == "broken"
    with pytest.raises(SettingsError, match="could not be read"):
        host.settings(Picky)


class Quiet(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: SecretStr = SecretStr("")


def test_an_error_of_a_plugin_tells_no_secret() -> None:
    class Tells(Asks):
        kind = Quiet

        @hookimpl
        def llmos_tools(self, settings: Any) -> list[Any]:
            raise ValueError(f"cannot log in with {settings(Quiet).token.get_secret_value()}")

    file = SettingsFile(settings=Settings(plugins={"tells": {"token": "a-secret-of-some-length"}}))
    host = Host(file, discover=False, plugins={"tells": Tells()})
    host.collect("llmos_tools", Tool)
    assert host.plugins[0].error == "ValueError: cannot log in with ***"
    assert "a-secret" not in str(host.faults)


def test_what_hung_once_is_not_asked_again() -> None:
    asked: list[str] = []

    def hang(self: Any) -> Any:
        import time

        asked.append("x")
        time.sleep(1e6)

    hooks = dict.fromkeys(("llmos_matchers", "llmos_ledgers", "llmos_native_tools"), hang)
    limits = LimitSettings(plugin_timeout_s=0.2)
    plugin = type("Hangs", (), {name: hookimpl(_named(hook, name)) for name, hook in hooks.items()})()
    host = Host(SettingsFile(settings=Settings(limits=limits)), discover=False, plugins={"hangs": plugin})
    for name in hooks:
        host.names(name) if name == "llmos_native_tools" else host.collect(name, Tool)
    assert asked == ["x"]


def _named(hook: Any, name: str) -> Any:
    def answer(self: Any) -> Any:
        return hook(self)

    answer.__name__ = name
    return answer


def test_a_broken_plugin_takes_no_name_from_another() -> None:
    host = Host(SettingsFile(), discover=False, plugins={"bad": Parts([Echo(), 3]), "good": Parts([Echo()])})  # type: ignore[list-item]
    assert host.collect("llmos_tools", Tool)["Echo"].plugin == "good"
    assert {info.name: info.state for info in host.plugins} == {"bad": "broken", "good": "ok"}


class Purse:
    def __init__(self, name: str) -> None:
        self.name = name

    @asynccontextmanager
    async def hold(self, run_id: str, request_id: str, worst_micros: int, billing: Any) -> Any:
        yield self

    async def settle(self, cost_micros: int, usage: Any, complete: bool) -> None:
        return None


class Ledgers:
    def __init__(self, *names: str) -> None:
        self.names = names

    @hookimpl
    def llmos_ledgers(self) -> list[Any]:
        if not self.names:
            raise ValueError("the database is locked")
        if self.names == ("off",):
            return []
        return [Purse(name) for name in self.names]


@pytest.mark.parametrize(
    ("ledgers", "admits"),
    [({}, True), ({"a": ["x"]}, True), ({"a": ["x"], "b": ["y"]}, False), ({"a": []}, False), ({"a": ["off"]}, True)],
    ids=["none", "one", "two", "a broken one", "one that its user switched off"],
)
async def test_no_money_is_spent_where_it_is_not_sure_who_counts_it(ledgers: dict[str, Any], admits: bool) -> None:
    asked: list[str] = []

    async def act(run: Run) -> str:
        try:
            await ask(run)
        except BudgetError as error:
            return error.why
        asked.append("x")
        return "asked"

    plugins = {"parts": Parts(strategies=[Script(act)], models=[Model()])}
    plugins |= {name: Ledgers(*names) for name, names in ledgers.items()}  # type: ignore[misc]
    async with LLMOS.in_memory(plugins) as system:
        outcome = await system.execute("go")
    assert bool(asked) is admits, outcome


class Backend:
    def __init__(self, name: str) -> None:
        self.name = name

    def trace_store(self, root: Path) -> Any:
        from llmos_core.kernel.memory import MemoryTraceStore

        return MemoryTraceStore()


def test_of_two_memories_it_is_told_which_is_taken(tmp_path: Path) -> None:
    class Memories:
        @hookimpl
        def llmos_memory_backends(self) -> list[Any]:
            return [Backend("a"), Backend("b")]

    system = LLMOS(tmp_path, settings=SettingsFile(), discover=False, plugins={"m": Memories()})
    assert system.host.faults == ['There is more than one memory backend, a and b: a is used. Choose: memory = "a"']
    chosen = SettingsFile(settings=Settings(memory="b"))
    assert LLMOS(tmp_path, settings=chosen, discover=False, plugins={"m": Memories()}).host.faults == []


async def test_a_provider_that_cannot_name_its_credentials_is_not_used() -> None:
    class Loose(Model):
        def secrets(self) -> Any:
            raise OSError("the key ring is locked")

    async def act(run: Run) -> str:
        return run.model.name

    plugins = {"parts": Parts(strategies=[Script(act)]), "loose": Parts(models=[Loose()])}
    async with LLMOS.in_memory(plugins) as system:
        assert not (await system.execute("go")).success
        assert {info.name: info.state for info in system.host.plugins}["loose"] == "broken"


class Exits(Echo):
    def effect(self, input: Any) -> Any:
        raise SystemExit(3)


async def test_a_plugin_that_exits_ends_no_process() -> None:
    async def act(run: Run) -> str:
        await run.call(call())
        raise SystemExit(4)

    class Bids(Script):
        async def bid(self, task: Any, run: Any) -> Any:
            raise SystemExit(5)

    class Nothing(Script):
        async def bid(self, task: Any, run: Any) -> Any:
            return None

    strategies = [Script(act), Bids(act, name="BIDS"), Nothing(act, name="NOTHING")]
    async with LLMOS.in_memory({"parts": Parts([Exits()], strategies)}) as system:
        outcome = await system.execute("go")
        assert outcome.error
        assert "SystemExit: 4" in outcome.error.why
        for mode, why in (("bids", "SystemExit: 5"), ("nothing", "it answered NoneType, not a Bid")):
            failed = await system.execute("go", mode=mode)
            assert failed.error
            assert why in failed.error.why


def test_an_error_of_no_usual_kind_is_contained(install: Install) -> None:
    install("skips", "class Skipped(BaseException): ...\nraise Skipped('no such module')")
    assert {info.name: info.error for info in Host(SettingsFile()).plugins}[
        "skips"
    ] == "PluginError: Skipped: no such module"

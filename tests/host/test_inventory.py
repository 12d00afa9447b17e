"""What a boot saw is remembered for those who only list; what changed is forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmos_core.host.discovery import Found
from llmos_core.host.inventory import recall, remember
from llmos_core.host.plugins import PluginInfo


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "llmos"


def info(name: str = "a", version: str = "1.0") -> PluginInfo:
    return PluginInfo(Found(name, "module", f"dist-{name}", version, place="/site"))


def seen(state: str, name: str = "a", **fields: object) -> PluginInfo:
    base = info(name)
    given = {"hooks": ("llmos_tools",), "contributions": {"tools": ("Echo",)}, **fields}
    return PluginInfo(base.found, state, **given)  # type: ignore[arg-type]


def test_it_tells_what_the_last_boot_saw() -> None:
    assert recall([info()]) == [info()]
    remember([seen("ok")])
    assert recall([info()]) == [seen("ok")]
    assert recall([info(version="2.0")]) == [info(version="2.0")]
    remember([seen("broken", stage="import", error="E", hooks=None, contributions=None)])
    assert recall([info()])[0].stage == "import"


def test_a_state_that_metadata_tells_is_not_overruled() -> None:
    remember([seen("ok")])
    off = PluginInfo(info().found, "disabled")
    assert recall([off]) == [off]


def test_a_conflict_is_forgotten_with_its_rival() -> None:
    both = [seen("conflict", name, stage="llmos_tools", error="E") for name in "ab"]
    remember(both)
    assert [found.state for found in recall([info("a"), info("b")])] == ["conflict", "conflict"]
    [alone] = recall([info("a")])
    assert (alone.state, alone.error, alone.hooks) == ("ok", None, ("llmos_tools",))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"seen": 3}', '{"seen": {"/site|dist-a/a|1.0|module": {"state": 1}}}']
)
def test_a_damaged_memory_tells_nothing(cache: Path, text: str) -> None:
    remember([seen("ok")])
    [path] = cache.glob("plugins-*.json")
    path.write_text(text)
    assert recall([info()]) == [info()]
    remember([seen("ok")])
    assert recall([info()]) == [seen("ok")]


def test_it_is_written_only_when_it_changed(cache: Path) -> None:
    remember([seen("ok")])
    [path] = cache.glob("plugins-*.json")
    before = path.stat().st_ino
    remember([seen("ok")])
    assert path.stat().st_ino == before
    assert json.loads(path.read_text())["seen"]


def test_a_cache_that_cannot_be_written_harms_nothing(cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file in its place")
    remember([seen("ok")])
    assert recall([info()]) == [info()]

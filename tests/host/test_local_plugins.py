"""Plugins without a package: files in the workspace that run only after their user enabled these very bytes."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from llmos_core import PluginError, Tool
from llmos_core.host.host import Host
from llmos_core.host.local import approve, find_local, why_off, withdraw
from llmos_core.host.settings import SettingsFile
from tests.cli_fixtures import Llmos, environment, home, llmos

__all__ = ["environment", "home", "llmos"]

GUARD = """
from pathlib import Path
from llmos_core import Verdict, hookimpl

Path(__file__).with_suffix(".ran").touch()

@hookimpl
async def llmos_pre_tool_use(call):
    return Verdict.deny("never on Sundays")
"""


@pytest.fixture
def place(home: Path) -> Path:
    place = home / "workspace/plugins"
    place.mkdir()
    (place / "sundays.py").write_text(GUARD)
    return place


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))


def state(host: Host) -> tuple[str, str | None]:
    [info] = [info for info in host.plugins if info.distribution == "workspace"]
    return info.state, info.error


def guards(host: Host) -> set[str]:
    return {hook.plugin for hook in host.hook_table()["llmos_pre_tool_use"]}


@pytest.mark.usefixtures("own")
def test_it_is_off_until_enabled_and_again_when_it_changed(place: Path) -> None:
    boot = lambda: Host(SettingsFile(), local=place)  # noqa: E731
    host = boot()
    assert state(host) == ("disabled", "it was not enabled")
    assert "sundays" not in guards(host)
    assert "llmos plugins enable sundays" in host.faults[-1]
    assert not (place / "sundays.ran").exists()

    [found] = find_local(place)
    approve(found)
    host = boot()
    assert state(host) == ("ok", None)
    assert "sundays" in guards(host)
    assert (place / "sundays.ran").exists()

    (place / "sundays.py").write_text(GUARD.replace("Sundays", "Mondays"))
    assert state(boot()) == ("disabled", "it was changed since it was enabled")
    (place / "sundays.py").write_text(GUARD)
    assert state(boot()) == ("ok", None)
    withdraw(found)
    assert state(boot()) == ("disabled", "it was not enabled")


@pytest.mark.usefixtures("own")
def test_what_was_enabled_in_one_place_is_not_in_another(place: Path, tmp_path: Path) -> None:
    [found] = find_local(place)
    approve(found)
    place.rename(tmp_path / "moved")
    assert state(Host(SettingsFile(), local=tmp_path / "moved"))[0] == "disabled"


@pytest.mark.usefixtures("own")
def test_it_cannot_take_the_place_of_an_installed_plugin(place: Path) -> None:
    (place / "tools.py").write_text(GUARD)
    for found in find_local(place):
        approve(found)
    host = Host(SettingsFile(), local=place)
    states = {info.id: (info.state, info.stage) for info in host.plugins}
    assert states["workspace/tools"] == ("conflict", "name")
    assert states["llmos-plugin-tools/tools"] == ("ok", None)
    assert "Bash" in host.collect("llmos_tools", Tool)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("content", "error"), [(b"x" * (1 << 21), "longer than"), (None, "Is a directory")])
def test_what_cannot_be_read_is_off(place: Path, content: bytes | None, error: str) -> None:
    (place / "sundays.py").unlink()
    odd = place / "odd.py"
    odd.write_bytes(content) if content else odd.mkdir()
    found_state, why = state(Host(SettingsFile(), local=place))
    assert found_state == "disabled"
    assert error in str(why)


def test_the_commands(llmos: Llmos, place: Path) -> None:
    def listed() -> dict[str, str]:
        rows = json.loads(llmos("plugins", "list", "--json").stdout)
        return {row["name"]: row["state"] for row in rows if row["distribution"] == "workspace"}

    assert listed() == {"sundays": "disabled"}
    asked = llmos("plugins", "enable", "sundays")
    assert asked.returncode == 2
    assert b"There is no terminal to ask on." in asked.stderr
    assert listed() == {"sundays": "disabled"}
    enabled = llmos("plugins", "enable", "sundays", "--yes")
    assert enabled.returncode == 0, enabled.stderr
    assert b"SHA-256" in enabled.stderr
    assert not (place / "sundays.ran").exists()
    assert listed() == {"sundays": "ok"}
    [row] = json.loads(llmos("plugins", "check", "sundays", "--json").stdout)
    assert row["hooks"] == ["llmos_pre_tool_use"]
    assert llmos("plugins", "disable", "sundays").returncode == 0
    assert listed() == {"sundays": "disabled"}


@pytest.mark.usefixtures("own")
def test_a_pipe_is_not_waited_for(place: Path) -> None:
    (place / "sundays.py").unlink()
    os.mkfifo(place / "pipe.py")
    assert state(Host(SettingsFile(), local=place)) == ("disabled", f"{place / 'pipe.py'} is no regular file.")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("damage", ["[" * 100_000, "{", "[1]", "\0"])
def test_a_damaged_list_of_approvals_enables_nothing(place: Path, damage: str) -> None:
    [found] = find_local(place)
    approve(found)
    [kept] = Path(os.environ["XDG_DATA_HOME"]).rglob("enabled_plugins.json")
    kept.write_text(damage)
    assert state(Host(SettingsFile(), local=place)) == ("disabled", "it was not enabled")
    approve(found)
    assert state(Host(SettingsFile(), local=place)) == ("ok", None)


@pytest.mark.usefixtures("own")
def test_the_whole_digest_counts(place: Path) -> None:
    [found] = find_local(place)
    alike = found.digest[:12] + "0" * 52
    with pytest.raises(PluginError, match="is being changed"):
        approve(replace(found, digest=alike))
    approve(found)
    [kept] = Path(os.environ["XDG_DATA_HOME"]).rglob("enabled_plugins.json")
    kept.write_text(json.dumps({found.place: alike}))
    assert why_off(found) == "it was changed since it was enabled"


@pytest.mark.usefixtures("own")
def test_approvals_at_once_lose_none(place: Path) -> None:
    for number in range(12):
        (place / f"many{number}.py").write_text("")
    every = list(find_local(place))
    with ThreadPoolExecutor(len(every)) as pool:
        list(pool.map(approve, every))
    assert [why_off(found) for found in every] == [None] * 13

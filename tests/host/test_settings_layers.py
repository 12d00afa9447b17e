"""The user's own settings lie under the nearest llmos.toml; some may stand nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from llmos_core import LLMOS, OWN, SettingsError, hookimpl, load_settings, user_file
from llmos_core.host.settings_file import merged


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own settings lie; nothing is there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LLMOS_WORKSPACE", str(tmp_path / "space"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "config/llmos/config.toml"
    path.parent.mkdir(parents=True)
    assert user_file() == path
    return path


@pytest.fixture
def found(tmp_path: Path) -> Path:
    return tmp_path / "here/llmos.toml"


def test_tables_are_merged_and_the_nearer_value_wins(own: Path, found: Path) -> None:
    own.write_text(
        'memory = "mine"\n[limits]\nparallel_runs = 2\nstall_timeout_s = 7\n[prices.m]\ninput = 1\noutput = 2'
    )
    found.write_text("[limits]\nparallel_runs = 3\n[prices.m]\noutput = 4")
    file = load_settings(environ={})
    assert file.path == found
    assert file.settings.memory == "mine"
    assert (file.settings.limits.parallel_runs, file.settings.limits.stall_timeout_s) == (3, 7)
    assert file.settings.prices == {"m": {"input": 1, "output": 4}}
    assert file.found == {"limits": {"parallel_runs": 3}, "prices": {"m": {"output": 4}}}


def test_each_alone_and_neither(own: Path, found: Path) -> None:
    assert load_settings(environ={}).path is None
    own.write_text('memory = "mine"')
    alone = load_settings(environ={})
    assert (alone.path, alone.settings.memory, alone.found) == (own, "mine", {})
    own.unlink()
    found.write_text('memory = "theirs"')
    assert load_settings(environ={}).settings.memory == "theirs"


@pytest.mark.parametrize("which", ["own", "found"])
def test_either_file_must_be_readable(own: Path, found: Path, which: str) -> None:
    path = {"own": own, "found": found}[which]
    own.write_text("")
    found.write_text("")
    path.write_text("memory = ")
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={})
    assert str(path) in caught.value.what


def test_a_table_against_a_value(own: Path, found: Path) -> None:
    assert merged({"a": {"b": 1}, "c": [1]}, {"a": 2, "c": [2]}) == {"a": 2, "c": [2]}
    assert merged({"a": 2}, {"a": {"b": 1}}) == {"a": {"b": 1}}
    own.write_text("[limits]\nparallel_runs = 2")
    found.write_text("limits = 3")
    with pytest.raises(SettingsError, match=r"limits = 3 in .*: must be a table"):
        load_settings(environ={})


class Careful(BaseModel):
    """The settings of a plugin."""

    model_config = ConfigDict(extra="forbid")

    colour: str = "red"
    program: str = Field(default="", json_schema_extra=OWN)


class Plugin:
    """Has a setting that could start programs."""

    @hookimpl
    def llmos_settings(self) -> type[BaseModel]:
        return Careful


def settings_of_plugin() -> Careful:
    system = LLMOS(discover=False, plugins={"careful": Plugin()})
    settings: Any = system.host.settings(Careful)
    return settings  # type: ignore[no-any-return]


def test_what_could_start_programs_stands_in_the_users_own_file_only(own: Path, found: Path) -> None:
    own.write_text('[plugins.careful]\nprogram = "mine"')
    found.write_text('[plugins.careful]\ncolour = "blue"')
    assert settings_of_plugin() == Careful(program="mine", colour="blue")
    found.write_text('[plugins.careful]\nprogram = "evil"')
    with pytest.raises(SettingsError) as caught:
        settings_of_plugin()
    assert caught.value.what == "A setting stands in the wrong file: plugins.careful.program"
    assert str(found) in caught.value.why
    assert str(own) in caught.value.fix


@pytest.mark.parametrize("value", ['""', '"mine"', "false"])
def test_even_the_same_or_an_empty_value_is_refused(own: Path, found: Path, value: str) -> None:
    own.write_text('[plugins.careful]\nprogram = "mine"')
    found.write_text(f"[plugins.careful]\nprogram = {value}")
    with pytest.raises(SettingsError, match="stands in the wrong file"):
        settings_of_plugin()


def test_a_found_file_above_is_no_users_own(own: Path, found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found.write_text('[plugins.careful]\nprogram = "evil"')
    (found.parent / "below").mkdir()
    monkeypatch.chdir(found.parent / "below")
    with pytest.raises(SettingsError, match="stands in the wrong file"):
        settings_of_plugin()

"""The user's own settings lie under the nearest llmos.toml; some may stand nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from llmos_core import LLMOS, OWN, SettingsError, hookimpl, load_settings, user_file
from llmos_core.host.settings import plugin_settings
from llmos_core.host.settings_file import choices, merged


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
        'memory = "mine"\n[limits]\nparallel_runs = 2\nstall_timeout_s = 7\n[plugins.m]\ninput = 1\noutput = 2'
    )
    found.write_text("[limits]\nparallel_runs = 3\n[plugins.m]\noutput = 4")
    file = load_settings(environ={})
    assert file.path == found
    assert file.settings.memory == "mine"
    assert (file.settings.limits.parallel_runs, file.settings.limits.stall_timeout_s) == (3, 7)
    assert file.settings.plugins == {"m": {"input": 1, "output": 4}}
    assert file.found == {"limits": {"parallel_runs": 3}, "plugins": {"m": {"output": 4}}}


def test_each_alone_and_neither(own: Path, found: Path) -> None:
    assert load_settings(environ={}).path is None
    own.write_text('memory = "mine"')
    alone = load_settings(environ={})
    assert (alone.path, alone.settings.memory, alone.found) == (own, "mine", {})
    own.unlink()
    found.write_text("limits.parallel_runs = 3")
    assert load_settings(environ={}).settings.limits.parallel_runs == 3


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
    assert caught.value.what == "A setting stands in the wrong file: plugins.careful.program."
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


OwnText = Annotated[str, Field(json_schema_extra=OWN)]


@pydantic_dataclass
class Checked:
    command: str = Field(default="", json_schema_extra=OWN)


@dataclass
class Plain:
    command: OwnText = ""


@dataclass(slots=True)
class Slim:
    command: str = Field(default="", json_schema_extra=OWN)


class Typed(TypedDict):
    command: NotRequired[OwnText]


@pytest.mark.parametrize("inner", [Checked, Plain, Slim, Typed])
@pytest.mark.parametrize("table", ['server.command = "evil"', 'many = [{command = "evil"}]', 'by.x.command = "evil"'])
def test_a_setting_of_ones_own_in_a_dataclass_or_dictionary(found: Path, own: Path, inner: Any, table: str) -> None:
    kind = create_model("Kind", server=(inner | None, None), many=(list[inner], []), by=(dict[str, inner], {}))
    text = f"[plugins.g]\n{table}"
    found.write_text(text)
    with pytest.raises(SettingsError, match=r"in the wrong file: plugins\.g\..*command"):
        plugin_settings(kind, "g", load_settings(environ={}))
    found.unlink()
    own.write_text(text)
    assert "evil" in str(plugin_settings(kind, "g", load_settings(environ={})))


@pytest.mark.parametrize("text", ["choose = 3", "choose.plugins = 3", 'choose.tools = ["a"]'])
def test_choices_that_are_none(own: Path, text: str) -> None:
    own.write_text(text)
    with pytest.raises(SettingsError, match=r"choose in .*config\.toml: must say by kind and name"):
        choices()


def test_a_plugin_is_not_waited_for_longer_than_an_hour(own: Path) -> None:
    own.write_text("limits.plugin_timeout_s = inf")
    with pytest.raises(SettingsError, match="must be at most 3600"):
        load_settings(environ={})

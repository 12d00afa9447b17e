"""What a found ``llmos.toml`` may say of the core: each key is the user's own, or was thought about and is harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from llmos_core import LLMOS, Settings, SettingsError, load_settings
from llmos_core.host.settings_file import HARMLESS, choices, disabled_names, merged
from llmos_core.host.settings_sources import given_flags

MAY_STAND_IN_A_FOUND_FILE = {
    "plugins",
    "limits.parallel_runs",
    "limits.first_byte_timeout_s",
    "limits.stall_timeout_s",
}
"""Who adds a key here has thought about what a folder from anywhere, or an agent that wrote the file, does with it."""

OWN_VALUES: Mapping[str, Any] = {
    "workspace": "/elsewhere",
    "memory": "theirs",
    "disabled_plugins": ["security"],
    "model.provider": "theirs",
    "choose": {"tools": {"Bash": "theirs"}},
    "prices": {"m": {"input": 0.0, "output": 0.0}},
    "limits.plugin_timeout_s": 0.001,
    "limits.guard_timeout_s": 1e9,
    "limits.observer_timeout_s": 0.001,
    "limits.start_states": 1,
    "limits.start_state_max_files": 0,
    "limits.start_state_max_bytes": 0,
}
"""The user's own keys, each with what a folder could wish."""


def keys_of(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """All keys of a model and of the models within it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys_of(kind, f"{above}{name}.")
        else:
            yield above + name


def table(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def toml(key: str, value: Any) -> str:
    """One line of TOML."""
    if isinstance(value, dict):
        return "\n".join(toml(f"{key}.{json.dumps(name)}", inner) for name, inner in value.items())
    return f"{key} = {json.dumps(value)}"


def read(of: Settings, key: str) -> Any:
    value: Any = of.model_dump(mode="json")
    for part in key.split("."):
        value = value[part]
    return value


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own settings file; one stands in a directory where nothing was found yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "config/llmos/config.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def found(tmp_path: Path) -> Path:
    return tmp_path / "here/llmos.toml"


def test_each_key_is_the_users_own_or_was_thought_about() -> None:
    assert set(keys_of(Settings)) == MAY_STAND_IN_A_FOUND_FILE | OWN_VALUES.keys()
    assert not MAY_STAND_IN_A_FOUND_FILE & OWN_VALUES.keys()
    assert HARMLESS == MAY_STAND_IN_A_FOUND_FILE


@pytest.mark.parametrize("key", OWN_VALUES)
def test_a_found_file_cannot_set_it_and_the_user_can(key: str, own: Path, found: Path) -> None:
    value = OWN_VALUES[key]
    default = read(Settings(), key)
    assert default != value
    found.write_text(toml(key, value))
    for boot in (lambda: load_settings(environ={}), lambda: LLMOS(discover=False)):
        with pytest.raises(SettingsError) as caught:
            boot()
        named = "model" if key == "model.provider" else key
        assert caught.value.what == f"A setting stands in the wrong file: {named}."
        assert str(found) in caught.value.why
        assert str(own) in caught.value.fix
    assert (disabled_names({}), choices()) == (set(), {})
    assert read(load_settings(environ={}, nearest=False).settings, key) == default

    found.unlink()
    own.write_text(toml(key, value))
    assert read(load_settings(environ={}).settings, key) == value
    own.unlink()
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    variable = "LLMOS_" + key.upper().replace(".", "__")
    assert read(load_settings(environ={variable: text}).settings, key) == value
    if key != "workspace":
        token = given_flags.set([f"{key}={text}"])
        try:
            assert read(load_settings(environ={}).settings, key) == value
        finally:
            given_flags.reset(token)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    st.sets(st.sampled_from(sorted(OWN_VALUES))),
    st.dictionaries(st.sampled_from(sorted(MAY_STAND_IN_A_FOUND_FILE - {"plugins"})), st.integers(1, 99)),
    st.dictionaries(st.sampled_from(["memory", "disabled_plugins", "limits", "x"]), st.integers()),
)
def test_any_mixture_is_refused_with_all_that_is_wrong_in_it(
    own: Path, found: Path, wrong: set[str], harmless: dict[str, int], of_plugin: dict[str, int]
) -> None:
    rows = [*(toml(key, OWN_VALUES[key]) for key in wrong), *(toml(key, value) for key, value in harmless.items())]
    rows += [f"plugins.p.{key} = {value}" for key, value in of_plugin.items()]
    own.write_text("memory = 'mine'")
    found.write_text("\n".join(rows))
    if not wrong:
        got = load_settings(environ={})
        assert got.settings.plugins == ({"p": of_plugin} if of_plugin else {})
        wanted: dict[str, Any] = {"memory": "mine"}
        for key, value in harmless.items():
            wanted = merged(wanted, table(key, value))
        assert got.settings.model_dump(exclude={"plugins"}, exclude_unset=True) == {
            "disabled_plugins": (),
            **wanted,
        }
        return
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={})
    named = caught.value.what.removeprefix("A setting stands in the wrong file: ").removesuffix(".").split(", ")
    assert sorted(named) == sorted({"model" if key == "model.provider" else key for key in wrong})


def test_even_the_users_own_value_is_refused_and_so_is_one_further_up(
    own: Path, found: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write_text('disabled_plugins = ["a"]')
    found.write_text('disabled_plugins = ["a"]')
    (found.parent / "below").mkdir()
    monkeypatch.chdir(found.parent / "below")
    with pytest.raises(SettingsError, match="in the wrong file: disabled_plugins"):
        load_settings(environ={})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("disabled_plugin = []", "disabled_plugin in .*: there is no such key .did you mean disabled_plugins"),
        ("limits.guard_timeout_s = 0", "limits.guard_timeout_s = 0 in .*: must be more than 0"),
        ("limits = 3", "limits = 3 in .*: must be a table"),
    ],
)
def test_what_no_file_may_hold_is_told_as_before(found: Path, text: str, what: str) -> None:
    found.write_text(text)
    with pytest.raises(SettingsError, match=what):
        load_settings(environ={})


def test_a_wrong_price_is_laid_to_no_found_file(own: Path, found: Path) -> None:
    own.write_text("[prices.m]\ninput = 1\noutput = 1\nfree = 1")
    found.write_text("limits.parallel_runs = 2")
    with pytest.raises(SettingsError, match=r"prices\.m\.free in your own settings: there is no such key"):
        LLMOS(discover=False)

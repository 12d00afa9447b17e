"""Settings: the nearest file, the variables over it, wrong keys named."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmos_core import SettingsError
from llmos_core.host.settings import load_settings


@pytest.fixture(autouse=True)
def no_user_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    (tmp_path / "llmos.toml").write_text("limits.parallel_runs = 2")
    near = tmp_path / "a" / "b"
    near.mkdir(parents=True)
    assert load_settings(near, {}).settings.limits.parallel_runs == 2
    (tmp_path / "a" / "llmos.toml").write_text("limits.parallel_runs = 3")
    assert load_settings(near, {}).settings.limits.parallel_runs == 3


def test_without_a_file_the_defaults_count(tmp_path: Path) -> None:
    file = load_settings(tmp_path, {})
    assert file.path is None
    assert file.settings.disabled_plugins == ()


def test_a_users_file_counts_where_no_other_is(tmp_path: Path) -> None:
    config = tmp_path / "config" / "llmos" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('memory = "mine"')
    assert load_settings(tmp_path, {}).settings.memory == "mine"


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "llmos.toml").write_text("limits.parallel_runs = 2")
    assert load_settings(tmp_path, {"LLMOS_LIMITS__PARALLEL_RUNS": "3"}).settings.limits.parallel_runs == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory = ", "cannot be read"),
        ("colour = 1", "colour in "),
        ("[limits]\nguard_timeout_s = -1", "limits.guard_timeout_s"),
        ('[prices."m"]\ninput = "x"', "prices.m.input"),
        ("model = 3", "model = 3 in "),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "llmos.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})
    assert message in str(caught.value)
    assert "llmos.toml" in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "llmos.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError):
        load_settings(tmp_path, {"LLMOS_PROVIDER": "x"})


def test_a_variable_over_a_model_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "llmos.toml").write_text("model = 3")
    with pytest.raises(SettingsError, match="model"):
        load_settings(tmp_path, {"LLMOS_PROVIDER": "x"})

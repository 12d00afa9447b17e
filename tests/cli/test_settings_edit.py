"""Changing the user's own settings: what is there stays, and what cannot be changed safely is told."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from llmos_core import SettingsError, user_file
from llmos_core.cli.settings_edit import Changes, changed
from llmos_core.commands import change_user_settings

DISABLED = ("disabled_plugins",)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own settings lie; nothing is there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return user_file()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        'workspace = "w" # mine\n',
        "[plugins.claude]\nmodel = 'x'\n[limits]\nparallel_runs = 2\n[plugins.trace]\nx = 1\n",
        "plugins.claude.model = 'x'\n",
        "[plugins]\nclaude = {model = 'x'} # inline\n",
        "plugins = {claude = {model = 'x'}}\n",
        "[model] # which\nprovider = 'rehearsal' # for now\n\n\n[prices.'m x']\ninput = 1\noutput=2\n",
    ],
)
def test_settings_are_changed_and_comments_stay(text: str, tmp_path: Path) -> None:
    changes: Changes = {
        ("plugins", "claude", "login"): True,
        ("model", "provider"): "subscription",
        ("workspace",): "a\nb",
    }
    new = changed(text, changes, tmp_path)
    expected = tomllib.loads(text)
    expected.setdefault("plugins", {}).setdefault("claude", {})["login"] = True
    expected.setdefault("model", {})["provider"] = "subscription"
    assert tomllib.loads(new) == {**expected, "workspace": "a\nb"}
    assert all(comment in new for comment in re.findall(r"# \w+", text))
    back = changed(new, {("plugins", "claude", "login"): None, ("plugins", "none", "x"): None}, tmp_path)
    del expected["plugins"]["claude"]["login"]
    assert tomllib.loads(back) == {**expected, "workspace": "a\nb"}


def test_settings_that_cannot_be_changed_are_told_with_the_lines_to_write(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        changed("model = 1\n", {("model", "provider"): "rehearsal"}, tmp_path / "config.toml")
    assert caught.value.fix == 'Write by hand: model.provider = "rehearsal"'


def test_a_change_that_would_lose_something_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tomlkit, "dumps", lambda document: 'model.provider = "rehearsal"\n')
    with pytest.raises(SettingsError, match="cannot be changed"):
        changed("[limits]\nparallel_runs = 2\n", {("model", "provider"): "rehearsal"}, tmp_path / "config.toml")


def test_what_stays_in_a_list_keeps_its_comment(tmp_path: Path) -> None:
    text = 'disabled_plugins = [\n  "a", # why a\n  "b", # why b\n] # all\n[limits]\nparallel_runs = 2\n'
    new = changed(text, {DISABLED: ["b", "c"]}, tmp_path)
    assert tomllib.loads(new) == {"disabled_plugins": ["b", "c"], "limits": {"parallel_runs": 2}}
    assert "# why b" in new
    assert "# all" in new
    assert "# why a" not in new


@given(st.lists(st.text(), unique=True), st.lists(st.text(), unique=True))
def test_any_list_becomes_any_other(old: list[str], new: list[str]) -> None:
    text = changed("", {DISABLED: old, ("limits", "parallel_runs"): 2}, Path("config.toml"))
    after = tomllib.loads(changed(text, {DISABLED: new}, Path("config.toml")))
    assert sorted(after["disabled_plugins"]) == sorted(new)
    assert after["limits"] == {"parallel_runs": 2}


@pytest.mark.parametrize(
    ("text", "value", "fix"),
    [('disabled_plugins = "a"', ["b"], 'disabled_plugins = ["b"]'), ("x = [", True, "disabled_plugins = true")],
)
def test_a_file_that_is_wrong_is_told_with_the_line_to_write(
    own: Path, text: str, value: list[str] | bool, fix: str
) -> None:
    own.parent.mkdir(parents=True)
    own.write_text(text)
    with pytest.raises(SettingsError) as caught:
        change_user_settings({DISABLED: value})
    assert caught.value.fix == f"Write by hand: {fix}"
    assert str(own) in caught.value.what
    assert own.read_text() == text


def test_the_file_is_made_and_changed_and_only_tried_without_write(own: Path) -> None:
    assert change_user_settings({DISABLED: ["a"]}, write=False) == ("", 'disabled_plugins = ["a"]\n')
    assert not own.exists()
    change_user_settings({DISABLED: ["a"]})
    assert own.read_text() == 'disabled_plugins = ["a"]\n'
    own.chmod(0o600)
    change_user_settings({DISABLED: None, ("memory",): "files"})
    assert own.read_text() == 'memory = "files"\n'
    assert own.stat().st_mode & 0o777 == 0o600
    stamp = own.stat().st_mtime_ns
    change_user_settings({("memory",): "files"})
    assert own.stat().st_mtime_ns == stamp


def test_a_link_in_the_place_of_the_file_stays(own: Path, tmp_path: Path) -> None:
    own.parent.mkdir(parents=True)
    (tmp_path / "dotfiles").mkdir()
    own.symlink_to(tmp_path / "dotfiles/llmos.toml")
    change_user_settings({("memory",): "files"})
    assert own.is_symlink()
    assert (tmp_path / "dotfiles/llmos.toml").read_text() == 'memory = "files"\n'

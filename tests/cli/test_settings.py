"""``llmos settings show`` and ``--set``: what counts, where it comes from, and that no secret is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli_fixtures import Llmos
from tests.shells import bash_completes

PLUGIN = """
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from llmos_core import hookimpl

class Server(BaseModel):
    url: str = ""
    token: SecretStr | None = None

class Painted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: str = "red"
    key: SecretStr = SecretStr("")
    many: list[SecretStr] = Field(default_factory=list)
    servers: dict[str, Server] = Field(default_factory=dict)
    depth: int = Field(default=1, ge=1, le=9)

@hookimpl
def llmos_settings():
    return Painted
"""


def install(home: Path, name: str, source: str) -> None:
    info = home / "site" / f"llmos_plugin_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (home / "site" / f"plugin_{name}.py").write_text(source)
    requires = "Requires-Dist: llmos-core>=0.1,<0.2"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: llmos-plugin-{name}\nVersion: 1.0\n{requires}\n")
    (info / "entry_points.txt").write_text(f"[llmos.plugins]\n{name} = plugin_{name}\n")


@pytest.fixture
def variables(home: Path) -> Mapping[str, str]:
    """Variables that put a plugin with settings on the path; its file of settings."""
    install(home, "painted", PLUGIN)
    return {"PYTHONPATH": str(home / "site")}


def rows(llmos: Llmos, *arguments: str, **variables: str) -> dict[str, dict[str, Any]]:
    done = llmos(*arguments, "--json", **variables)
    assert done.returncode == 0, done.stderr.decode()
    return {row["key"]: row for row in json.loads(done.stdout)}


def test_each_value_names_its_source(llmos: Llmos, home: Path, variables: Mapping[str, str]) -> None:
    own = home / ".config/llmos/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text('disabled_plugins = ["history"]\n[plugins.painted]\ncolour = "blue"\n[prices."a.b"]\ninput = 1\n')
    (home / "llmos.toml").write_text("[limits]\nparallel_runs = 3\n")
    more = {"LLMOS_PROVIDER": "rehearsal", "LLMOS_NO_PLUGINS": "memory", "LLMOS_LIMITS__GUARD_TIMEOUT_S": "2"}
    got = rows(llmos, "--set", "plugins.painted.depth=4", "settings", "show", **variables, **more)
    found = str(home / "llmos.toml")
    assert {key: (row["value"], row["source"]) for key, row in got.items()} == {
        "disabled_plugins": (["history", "memory"], f"{own}, LLMOS_NO_PLUGINS"),
        "model.provider": ("rehearsal", "LLMOS_PROVIDER"),
        "limits.parallel_runs": (3, found),
        "limits.guard_timeout_s": (2.0, "LLMOS_LIMITS__GUARD_TIMEOUT_S"),
        'prices."a.b".input': (1.0, str(own)),
        "plugins.painted.colour": ("blue", str(own)),
        "plugins.painted.depth": (4, "--set"),
    }
    assert got["limits.parallel_runs"]["default"] == 8
    assert "default" not in got['prices."a.b".input']

    every = rows(llmos, "settings", "show", "--all", **variables)
    assert every["limits.stall_timeout_s"] == {
        "key": "limits.stall_timeout_s",
        "value": 120.0,
        "source": "default",
        "default": 120.0,
    }
    assert {"memory", "workspace", "choose", "plugins.claude.model", "plugins.tools.bash_timeout_ms"} <= every.keys()
    assert not [key for key in every if key == "plugins"]


def test_a_table_for_people(llmos: Llmos, home: Path, variables: Mapping[str, str]) -> None:
    done = llmos("settings", "show", **variables)
    assert done.stdout == b""
    assert b"Nothing is set." in done.stderr
    assert b"more hold their defaults: llmos settings show --all" in done.stderr

    done = llmos("--set", "limits.parallel_runs=2", "settings", "show", "limits.parallel_runs", **variables)
    assert done.stdout.decode().splitlines() == [
        "key                   value  source",
        "limits.parallel_runs  2      --set",
    ]
    assert done.stderr == b""

    done = llmos("settings", "show", "plugins.painted", **variables)
    keys = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert keys == ["key", *(f"plugins.painted.{key}" for key in ("colour", "key", "many", "servers", "depth"))]


def test_no_secret_is_shown(llmos: Llmos, home: Path, variables: Mapping[str, str]) -> None:
    (home / "llmos.toml").write_text('[plugins.painted]\nkey = "hunter1"\nservers.a = {url = "x", token = "hunter2"}\n')
    more = {**variables, "LLMOS_PLUGINS__PAINTED__MANY": '["hunter3"]'}
    got = rows(llmos, "settings", "show", "plugins.painted", **more)
    assert got["plugins.painted.key"]["value"] == "***"
    assert got["plugins.painted.key"]["default"] == "***"
    assert got["plugins.painted.many"]["value"] == ["***"]
    assert got["plugins.painted.servers.a.url"]["value"] == "x"
    assert got["plugins.painted.servers.a.token"]["value"] == "***"
    assert "hunter" not in json.dumps(got)
    assert b"hunter" not in llmos("settings", "show", "--all", **more).stdout

    more["LLMOS_PLUGINS__PAINTED__KEYS"] = "hunter4"
    done = llmos("--debug", "settings", "show", **more)
    assert b"there is no such key (did you mean key?)" in done.stderr
    assert b"hunter" not in done.stdout + done.stderr


def test_a_broken_plugin_is_told_and_the_rest_is_shown(llmos: Llmos, home: Path, variables: Mapping[str, str]) -> None:
    install(home, "bad", "raise RuntimeError('I am broken')")
    done = llmos("settings", "show", "plugins.painted", "--json", **variables)
    assert done.returncode == 0
    assert b"I am broken" in done.stderr
    assert len(json.loads(done.stdout)) == 5


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("limits.paralel_runs", "Did you mean: limits.parallel_runs"),
        ("limit", "Did you mean: limits"),
        ("zzz", "See all: llmos settings show --all"),
    ],
)
def test_a_key_that_is_none(llmos: Llmos, key: str, fix: str) -> None:
    done = llmos("settings", "show", key)
    assert done.returncode == 2
    assert f"There is no setting {key}." in done.stderr.decode()
    assert fix in done.stderr.decode()


def test_a_wrong_setting_is_one_clear_error(llmos: Llmos, home: Path, variables: Mapping[str, str]) -> None:
    done = llmos("--set", "plugins.painted.depth=0", "settings", "show", **variables)
    assert done.returncode == 2
    lines = ["Error: plugins.painted.depth = 0 in --set: must be at least 1.", "Correct or remove it."]
    assert done.stderr.decode().splitlines() == lines
    done = llmos("settings", "show", "--json", LLMOS_LIMITS__PARALLEL_RUNS="0")
    error = json.loads(done.stdout)["error"]
    assert error["what"] == "limits.parallel_runs = 0 in LLMOS_LIMITS__PARALLEL_RUNS: must be at least 1."


def test_flags_hold_for_every_command(llmos: Llmos, variables: Mapping[str, str]) -> None:
    done = llmos("--set", "model.provider=oracle", "run", "x")
    assert done.returncode == 2
    assert b"There is no model provider oracle." in done.stderr
    done = llmos("--set", "limits.parallel_runs", "doctor")
    assert b"--set needs KEY=VALUE." in done.stdout + done.stderr


@pytest.mark.slow
def test_keys_are_completed(home: Path, environment: Mapping[str, str], variables: Mapping[str, str]) -> None:
    def complete(typed: str, **more: str) -> list[str]:
        return bash_completes(["llmos", "settings", "show", typed], home, {**environment, **variables, **more})

    assert complete("plugins.painted.c") == ["plugins.painted.colour"]
    assert complete("plugins.painted.c", LLMOS_LIMITS__PARALLEL_RUNS="0") == []


def test_the_help_has_examples(llmos: Llmos) -> None:
    text = llmos("settings", "show", "--help").stdout.decode()
    for word in ("llmos settings show limits", "LLMOS_LIMITS__PARALLEL_RUNS=2", "--set limits.parallel_runs=2"):
        assert word in text


def test_a_variable_or_flag_for_a_plugin_that_is_not_there(llmos: Llmos) -> None:
    done = llmos("run", "x", LLMOS_PLUGINS__NOBODY__X="1")
    assert done.returncode == 2
    assert b"LLMOS_PLUGINS__NOBODY__X names no key." in done.stderr
    assert b"--set names no key." in llmos("--set", "plugins.nobody.x=1", "run", "x").stderr

"""Variables and flags: which are keys, what they go before, and how their text becomes a value."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, example, settings
from hypothesis import given as for_any
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from llmos_core import OWN, SettingsError
from llmos_core.host.settings import (
    SettingsFile,
    layers_of,
    load_settings,
    plugin_settings,
    secrets_of,
    unknown_plugins,
)
from llmos_core.host.settings_file import disabled_names
from llmos_core.host.settings_sources import given_flags, source_of


class Server(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = ""
    token: SecretStr = SecretStr("")


class Kind(BaseModel):
    """The settings of a plugin, of every sort."""

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    count: int = 0
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.5
    on: bool = False
    maybe: str | None = None
    either: Literal["auto"] | int = "auto"
    names: tuple[str, ...] = ()
    numbers: list[int] = Field(default_factory=list)
    table: dict[str, int] = Field(default_factory=dict)
    servers: dict[str, Server] = Field(default_factory=dict)
    camelCase: str = ""
    key: SecretStr | None = None
    strict: Annotated[int, Field(strict=True)] = 1


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own settings lie; nothing is there yet. The found file lies in the directory itself."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config/llmos/config.toml"
    path.parent.mkdir(parents=True)
    return path


@contextmanager
def flags(*given: str) -> Iterator[None]:
    token = given_flags.set(given)
    try:
        yield
    finally:
        given_flags.reset(token)


def loaded(environ: Mapping[str, str] | None = None, *given: str) -> SettingsFile:
    with flags(*given):
        return load_settings(environ=environ or {})


def kind(environ: Mapping[str, str] | None = None, *given: str, name: str = "my-plugin") -> Kind:
    return plugin_settings(Kind, name, loaded(environ, *given))


def test_flag_over_variable_over_found_file_over_own_file_over_default(own: Path, tmp_path: Path) -> None:
    def runs(environ: Mapping[str, str] | None = None, *given: str) -> int:
        return loaded(environ, *given).settings.limits.parallel_runs

    variable = {"LLMOS_LIMITS__PARALLEL_RUNS": "4"}
    assert runs() == 8
    own.write_text("[limits]\nparallel_runs = 2")
    assert runs() == 2
    (tmp_path / "llmos.toml").write_text("[limits]\nparallel_runs = 3")
    assert runs() == 3
    assert runs(variable) == 4
    assert runs(variable, "limits.parallel_runs=5", "limits.parallel_runs=6") == 6
    assert runs() == 3


SOURCES = ("own", "found", "variable", "flag")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@for_any(
    st.dictionaries(
        st.sampled_from(SOURCES), st.dictionaries(st.sampled_from(["text", "count", "maybe"]), st.integers())
    )
)
def test_each_key_comes_from_the_strongest_source_that_names_it(
    own: Path, tmp_path: Path, said: dict[str, dict[str, int]]
) -> None:
    for source, path in (("own", own), ("found", tmp_path / "llmos.toml")):
        rows = [
            f"{key} = {value if key == 'count' else json.dumps(str(value))}"
            for key, value in said.get(source, {}).items()
        ]
        path.write_text("\n".join(["[plugins.my-plugin]", *rows]))
    environ = {
        f"LLMOS_PLUGINS__MY_PLUGIN__{key.upper()}": str(value) for key, value in said.get("variable", {}).items()
    }
    file = loaded(environ, *[f"plugins.my-plugin.{key}={value}" for key, value in said.get("flag", {}).items()])
    got = plugin_settings(Kind, "my-plugin", file)
    layers = layers_of(Kind, ("plugins", "my-plugin"), file)
    names = {"own": str(own), "found": str(tmp_path / "llmos.toml"), "flag": "--set"}
    for key, default in (("text", ""), ("count", 0), ("maybe", None)):
        strongest = [source for source in SOURCES if key in said.get(source, {})][-1:]
        if not strongest:
            assert (getattr(got, key), source_of(layers, [key])) == (default, None)
            continue
        value = said[strongest[0]][key]
        assert getattr(got, key) == (value if key == "count" else str(value))
        assert source_of(layers, [key]) == names.get(strongest[0], f"LLMOS_PLUGINS__MY_PLUGIN__{key.upper()}")


def by_flag(key: str, text: str) -> Any:
    return getattr(kind(None, f"plugins.my-plugin.{key}={text}"), key)


QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)


@QUICK
@for_any(st.text())
@example("5")
@example("true")
@example("[1]")
@example('{"a": 1}')
@example('"quoted"')
@example("a=b")
@example("null")
def test_a_text_is_taken_as_it_stands(text: str) -> None:
    assert (by_flag("text", text), by_flag("maybe", text)) == (text, text)
    secret = by_flag("key", text)
    assert secret.get_secret_value() == text


@QUICK
@for_any(st.integers(), st.floats(0, 1), st.booleans())
def test_numbers_and_booleans_are_read(number: int, ratio: float, on: bool) -> None:
    assert (by_flag("count", str(number)), by_flag("strict", str(number))) == (number, number)
    assert by_flag("either", str(number)) == number
    assert by_flag("ratio", repr(ratio)) == ratio
    assert (by_flag("on", str(on).lower()), by_flag("on", str(on))) == (on, on)


NAMES = st.from_regex(r"[A-Za-z0-9 .-]*", fullmatch=True)


@QUICK
@for_any(st.lists(NAMES), st.lists(st.integers(-(2**60), 2**60)), st.dictionaries(NAMES, st.integers(-(2**60), 2**60)))
def test_lists_and_tables_are_read_as_json_or_toml(names: list[str], numbers: list[int], table: dict[str, int]) -> None:
    assert by_flag("names", json.dumps(names)) == tuple(names)
    assert by_flag("numbers", json.dumps(numbers)) == numbers
    assert by_flag("table", json.dumps(table)) == table
    toml = ", ".join(f"{json.dumps(key)} = {value}" for key, value in table.items())
    assert by_flag("table", f"{{{toml}}}") == table


def test_a_table_of_text_is_read_deeply(own: Path) -> None:
    own.write_text('[plugins.my-plugin.servers.One-A]\nurl = "x"\n')
    variables = {"LLMOS_PLUGINS__MY_PLUGIN__SERVERS__ONE_A__TOKEN": "12345", "LLMOS_PLUGINS__MY_PLUGIN__CAMELCASE": "y"}
    got = kind(variables, 'plugins.my-plugin.servers."b.c".url=7')
    assert {name: server.url for name, server in got.servers.items()} == {"One-A": "x", "b.c": "7"}
    assert got.servers["One-A"].token.get_secret_value() == "12345"
    assert got.camelCase == "y"


@pytest.mark.parametrize(
    ("environ", "path", "value"),
    [
        ({"LLMOS_MEMORY": "x"}, "memory", "x"),
        ({"llmos_memory": "x"}, "memory", None),
        ({"LLMOS_memory": "x"}, "memory", "x"),
        ({"LLMOS_MEMORY": ""}, "memory", None),
        ({"LLMOS_MEMROY": "x"}, "memory", None),
        ({"LLMOS_FAULT_ROUNDS": "x"}, "memory", None),
        ({"LLMOS_PROVIDER": "x"}, "model.provider", "x"),
        ({"LLMOS_PROVIDER": "x", "LLMOS_MODEL__PROVIDER": "y"}, "model.provider", "y"),
        ({"LLMOS_MODEL": '{"provider": "z"}'}, "model.provider", "z"),
        ({"LLMOS_LIMITS": "{parallel_runs = 3}"}, "limits.parallel_runs", 3),
    ],
)
def test_which_variables_are_keys(environ: dict[str, str], path: str, value: object) -> None:
    got: Any = loaded(environ).settings
    for part in path.split("."):
        got = getattr(got, part)
    assert got == value


def test_names_of_a_table_keep_the_spelling_of_the_file(own: Path) -> None:
    own.write_text("[prices.Claude-X]\ninput = 1\n[choose]\ntools.Greet = 'a'\n")
    got = loaded({"LLMOS_PRICES__CLAUDE_X__INPUT": "2", "LLMOS_CHOOSE__TOOLS__GREET": "b"}).settings
    assert got.prices == {"Claude-X": {"input": 2}}
    assert got.choose == {"tools": {"Greet": "b"}}


def test_a_workspace_of_the_environment_lies_where_one_stands(own: Path, tmp_path: Path) -> None:
    own.write_text('workspace = "w"')
    assert loaded().settings.workspace == str(own.parent / "w")
    assert loaded({"LLMOS_WORKSPACE": "v"}).settings.workspace == str(tmp_path / "v")
    assert loaded({"LLMOS_WORKSPACE": ""}).settings.workspace == str(own.parent / "w")


@pytest.mark.parametrize(
    ("flag", "what"),
    [
        ("limits.parallel_runs", "--set needs KEY=VALUE."),
        ("=1", "--set needs KEY=VALUE."),
        ("a b=1", "--set needs KEY=VALUE."),
        ("a..b=1", "--set needs KEY=VALUE."),
        ("#=1", "--set needs KEY=VALUE."),
        ("", "--set needs KEY=VALUE."),
        ("plugins=1", "--set names no key."),
        ("Plugins.claude=1", "--set names no key."),
        ("workspace=w", "The workspace is not set by --set."),
        ("memroy=x", "memroy in --set: there is no such key (did you mean memory?)."),
        ("memory.x=1", "memory in --set: must be text."),
        ("limits.parallel_runs.x=1", "limits.parallel_runs in --set: must be a whole number."),
    ],
)
def test_a_flag_that_is_no_setting(flag: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(None, flag)
    assert caught.value.what == what
    assert "=1" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("LLMOS_LIMITS__RUNS", "limits.runs in LLMOS_LIMITS__RUNS: there is no such key."),
        (
            "LLMOS_LIMIT__PARALLEL_RUNS",
            "limit in LLMOS_LIMIT__PARALLEL_RUNS: there is no such key (did you mean limits?).",
        ),
        ("LLMOS_PLUGINS__CLAUDE", "LLMOS_PLUGINS__CLAUDE names no key."),
        ("LLMOS_PLUGINS", "LLMOS_PLUGINS names no key."),
        ("LLMOS___X", '"" in LLMOS___X: there is no such key.'),
    ],
)
def test_a_variable_that_names_no_key(name: str, what: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded({name: "secret-1"})
    assert caught.value.what == what
    assert "secret-1" not in str(caught.value)


def test_settings_of_a_plugin_that_is_not_there(own: Path) -> None:
    own.write_text("[plugins.gone]\nx = 1\n[plugins.my-plugin]\ncount = 1")
    assert unknown_plugins(loaded({"LLMOS_PLUGINS__MY_PLUGIN__COUNT": "1"}), ["my-plugin"]) == ["gone"]
    for file, source in (
        (loaded({"LLMOS_PLUGINS__NOBODY__X": "secret-1"}), "LLMOS_PLUGINS__NOBODY__X"),
        (loaded(None, "plugins.nobody.x=secret-1"), "--set"),
    ):
        with pytest.raises(SettingsError) as caught:
            unknown_plugins(file, ["my-plugin"])
        assert (
            str(caught.value)
            == f"{source} names no key.\nThere is no plugin nobody.\nInstall the plugin, or take this away."
        )


class Careful(BaseModel):
    model_config = ConfigDict(extra="forbid")

    class Inner(BaseModel):
        program: str = Field(default="", json_schema_extra={**OWN, "examples": ["x"]})

    inner: Inner | None = None
    many: list[Inner] = Field(default_factory=list)
    named: dict[str, Inner] = Field(default_factory=dict)
    other: str = Field(default="", validation_alias="spelt", json_schema_extra=OWN)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("inner.program", "inner = {program = 'x'}"),
        ("many.program", "many = [{}, {program = 'x'}]"),
        ("named.a.program", "named.a.program = 'x'"),
        ("spelt", "spelt = 'x'"),
    ],
)
def test_what_only_the_user_may_set_is_refused_wherever_it_stands(
    key: str, value: str, own: Path, tmp_path: Path
) -> None:
    own.write_text(f"[plugins.careful]\n{value}")
    plugin_settings(Careful, "careful", loaded({"LLMOS_PLUGINS__CAREFUL__INNER__PROGRAM": "y"}))
    (tmp_path / "llmos.toml").write_text(f"[plugins.careful]\n{value}")
    with pytest.raises(SettingsError) as caught:
        plugin_settings(Careful, "careful", loaded())
    assert caught.value.what == f"A setting stands in the wrong file: plugins.careful.{key}."
    assert str(tmp_path / "llmos.toml") in caught.value.why


@pytest.mark.parametrize(
    ("own_text", "environ", "given", "names"),
    [
        ("", {}, [], []),
        ('disabled_plugins = ["a"]', {"LLMOS_NO_PLUGINS": "c, d/e"}, ["disabled_plugins=b"], ["a", "b", "c", "d/e"]),
        ('disabled_plugins = ["a"]', {"LLMOS_NO_PLUGINS": "1"}, [], ["*", "a"]),
        ("", {"LLMOS_NO_PLUGINS": "all"}, [], ["*"]),
        ("", {"LLMOS_NO_PLUGINS": "*"}, [], ["*"]),
        ("", {"LLMOS_NO_PLUGINS": ""}, [], []),
        ('disabled_plugins = ["*"]', {}, [], ["*"]),
        ("", {"LLMOS_DISABLED_PLUGINS": '["a", "b"]'}, ['disabled_plugins=["c"]'], ["a", "b", "c"]),
        ('disabled_plugins = ["b"]', {}, ["disabled_plugins=[]"], ["b"]),
    ],
)
def test_all_that_is_disabled_anywhere_is(
    own: Path, own_text: str, environ: dict[str, str], given: Sequence[str], names: list[str]
) -> None:
    own.write_text(own_text)
    assert list(loaded(environ, *given).settings.disabled_plugins) == names
    with flags(*given):
        assert disabled_names(environ=environ) == set(names)


@pytest.mark.parametrize("value", ['"a"', "[1]", "{a = 1}"])
def test_disabled_plugins_that_are_no_list_of_names(own: Path, value: str) -> None:
    own.write_text(f"disabled_plugins = {value}")
    for read in (loaded, lambda: disabled_names(environ={})):
        with pytest.raises(SettingsError) as caught:
            read()
        assert caught.value.what == f"disabled_plugins in {own}: must be a list of names."


def test_the_disabled_names_cost_no_pydantic(tmp_path: Path) -> None:
    names = "from llmos_core.host.settings_file import disabled_names; print(disabled_names())"
    probe = f"import sys; {names}; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\nFalse\n"


def test_no_secret_is_in_a_repr_and_all_are_known(own: Path, tmp_path: Path) -> None:
    own.write_text('[plugins.my-plugin]\nservers.a.token = "secret-2"\n')
    (tmp_path / "llmos.toml").write_text('[plugins.my-plugin]\nkey = "secret-1"\n')
    file = loaded({"LLMOS_PLUGINS__MY_PLUGIN__SERVERS__B__TOKEN": "secret-3"})
    got = plugin_settings(Kind, "my-plugin", file)
    assert sorted(secrets_of(got)) == ["secret-1", "secret-2", "secret-3"]
    assert "secret-" not in repr(got) + repr(file) + str(file) + repr(file.texts)
    assert secrets_of(Kind()) == ()

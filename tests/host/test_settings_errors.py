"""A wrong setting is told in plain words: key, value, where it stands, and what it may be. No secret is told."""

from __future__ import annotations

import enum
import traceback
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretBytes,
    SecretStr,
    computed_field,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from llmos_core import SettingsError, load_settings
from llmos_core.host.settings import plugin_settings, secrets_of
from llmos_core.host.settings_sources import given_flags


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def _even(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is not even.")
    return number


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 1


class Kind(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = ""
    short: Annotated[str, Field(min_length=2, max_length=3)] = "ab"
    form: Annotated[str, Field(pattern="^a")] = "a"
    whole: Annotated[int, Field(ge=1, le=9)] = 1
    number: Annotated[float, Field(gt=0, lt=1)] = 0.5
    on: bool = False
    mode: Literal["fast", "slow"] = "fast"
    colour: Colour = Colour.RED
    either: Literal["auto"] | Annotated[int, Field(ge=5)] = 5
    names: Annotated[tuple[str, ...], Field(max_length=2)] = ()
    table: dict[str, int] = Field(default_factory=dict)
    inner: Inner = Inner()
    even: Annotated[int, AfterValidator(_even)] = 0
    path: Path = Path()
    several: list[int] | tuple[int, ...] = ()
    big: Annotated[float, Field(le=1_234_567)] = 0
    day: Annotated[date, Field(ge=date(2020, 1, 2))] = date(2021, 1, 1)


@pytest.fixture(autouse=True)
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file found where one stands."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "llmos.toml"


def told(kind: type[BaseModel], found: Path, toml: str) -> str:
    found.write_text(f"[plugins.p]\n{toml}")
    with pytest.raises(SettingsError) as caught:
        plugin_settings(kind, "p", load_settings(environ={}))
    assert caught.value.fix == "Correct or remove it."
    return "\n".join([caught.value.what, caught.value.why]).strip()


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("text = 1", "text = 1 in FILE: must be text."),
        ("short = 'a'", 'short = "a" in FILE: must have at least 2 characters.'),
        ("short = 'abcd'", 'short = "abcd" in FILE: must have at most 3 characters.'),
        ("form = 'b'", "form = \"b\" in FILE: must match pattern '^a'."),
        ("whole = 0", "whole = 0 in FILE: must be at least 1."),
        ("whole = 10", "whole = 10 in FILE: must be at most 9."),
        ("whole = 1.5", "whole = 1.5 in FILE: must be a whole number."),
        ("whole = 'x'", 'whole = "x" in FILE: must be a whole number.'),
        ("whole = []", "whole in FILE: must be a whole number."),
        ("number = 0", "number = 0 in FILE: must be more than 0."),
        ("number = 1", "number = 1 in FILE: must be less than 1."),
        ("big = 1234568", "big = 1234568 in FILE: must be at most 1234567."),
        ("day = 2020-01-01", 'day = "2020-01-01" in FILE: must be at least 2020-01-02.'),
        ("number = 'x'", 'number = "x" in FILE: must be a number.'),
        ("number = 2020-01-01", 'number = "2020-01-01" in FILE: must be a number.'),
        ("on = 'x'", 'on = "x" in FILE: must be true or false.'),
        ("on = 3", "on = 3 in FILE: must be true or false."),
        ("mode = 'x'", "mode = \"x\" in FILE: must be 'fast' or 'slow'."),
        ("colour = 'x'", "colour = \"x\" in FILE: must be 'red' or 'blue'."),
        ("either = 3", "either = 3 in FILE: must be 'auto', or must be at least 5."),
        ("names = 'x'", 'names = "x" in FILE: must be a list.'),
        ("names = ['x', 3]", "names.1 = 3 in FILE: must be text."),
        ("names = ['x', 'y', 'z']", "names in FILE: must not be longer than 2."),
        ("several = 'x'", 'several = "x" in FILE: must be a list.'),
        ("table = 3", "table = 3 in FILE: must be a table."),
        ("table.'a b' = 'x'", 'table."a b" = "x" in FILE: must be a whole number.'),
        ("inner = 3", "inner = 3 in FILE: must be a table."),
        ("inner.size = 'x'", 'inner.size = "x" in FILE: must be a whole number.'),
        ("inner.sise = 1", "inner.sise in FILE: there is no such key (did you mean size?)."),
        ("txet = 1", "txet in FILE: there is no such key (did you mean text?)."),
        ("zzz = 1", "zzz in FILE: there is no such key."),
        ("even = 3", "even = 3 in FILE: 3 is not even."),
        ("text = 3\nwhole = 0", "text = 3 in FILE: must be text.\nplugins.p.whole = 0 in FILE: must be at least 1."),
    ],
)
def test_in_plain_words(toml: str, line: str, found: Path) -> None:
    assert told(Kind, found, toml) == f"plugins.p.{line.replace('FILE', str(found))}"


def test_a_long_value_is_cut(found: Path) -> None:
    line = told(Kind, found, f"short = '{'x' * 100}'")
    assert line == f'plugins.p.short = "{"x" * 59}... in {found}: must have at most 3 characters.'


class Needy(BaseModel):
    text: str


def test_what_must_be_set_and_is_not(found: Path) -> None:
    assert told(Needy, found, "") == "plugins.p.text: must be set."


@dataclass
class Login:
    word: SecretStr


class Ticket(TypedDict):
    word: SecretStr


class Server(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = ""
    token: Annotated[SecretStr, Field(min_length=20)] | None = None
    more: "list[Server]" = Field(default_factory=list)  # noqa: UP037 - it is not defined yet


class Secret(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: SecretStr | None = None
    data: SecretBytes | None = None
    many: list[SecretStr] = Field(default_factory=list)
    servers: dict[str, Server] = Field(default_factory=dict)
    logins: list[Login] = Field(default_factory=list)
    tickets: dict[str, Ticket] = Field(default_factory=dict)
    open: str = ""

    @field_validator("key")
    @classmethod
    def _known(cls, key: SecretStr | None) -> SecretStr | None:
        if key and not key.get_secret_value().startswith("sk-"):
            raise ValueError(f"{key.get_secret_value()} is no key")
        return key

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.key and self.open:
            raise ValueError(f"open goes not with {self.key.get_secret_value()}")
        return self


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("key = 70031", "key in FILE: must be text."),
        ("key = 'hunter2'", "key in FILE: *** is no key."),
        ("key = 'sk-hunter2'\nopen = 'x'", " in FILE: open goes not with ***."),
        ("data = 70031", "data in FILE: "),
        ("many = ['x', 70031]", "many.1 in FILE: must be text."),
        ("many = 'hunter2'", "many in FILE: must be a list."),
        ("servers.a.token = 'hunter2'", "servers.a.token in FILE: must not be shorter than 20."),
        ("servers.a.tokne = 'hunter2'", "servers.a.tokne in FILE: there is no such key (did you mean token?)."),
        ("servers.a.more = [{token = 'hunter2'}]", "servers.a.more.0.token in FILE: "),
        ("servers = 'hunter2'", "servers in FILE: must be a table."),
        ("logins = [{word = 70031}]", "logins.0.word in FILE: must be text."),
        ("tickets.a.word = 70031", "tickets.a.word in FILE: must be text."),
        ("kye = 'hunter2'", "kye in FILE: there is no such key (did you mean key?)."),
    ],
)
def test_no_secret_is_told(toml: str, line: str, found: Path) -> None:
    found.write_text(f"[plugins.p]\n{toml}")
    with pytest.raises(SettingsError) as caught:
        plugin_settings(Secret, "p", load_settings(environ={}))
    text = "".join(traceback.format_exception(caught.value))
    assert caught.value.what.startswith(
        ("plugins.p." if line[0] != " " else "plugins.p") + line.replace("FILE", str(found))
    )
    assert "hunter2" not in text
    assert "70031" not in text


def test_of_two_secrets_the_longer_is_hidden_whole(found: Path) -> None:
    line = told(Secret, found, "key = 'hunter2'\nmany = ['hunt', 'hunter']")
    assert line == f"plugins.p.key in {found}: *** is no key."


def test_a_secret_of_a_flag_is_not_told() -> None:
    reset = given_flags.set(["plugins.p.key=hunter2"])
    try:
        with pytest.raises(SettingsError) as caught:
            plugin_settings(Secret, "p", load_settings(environ={"LLMOS_PLUGINS__P__MANY": "hunter3"}))
    finally:
        given_flags.reset(reset)
    assert caught.value.what == "plugins.p.key in --set: *** is no key."
    assert caught.value.why == "plugins.p.many in LLMOS_PLUGINS__P__MANY: must be a list."


def test_the_secrets_of_settings() -> None:
    server: dict[str, Any] = {"token": "x" * 20, "more": [{"token": "y" * 20}]}
    given = {"key": "sk-1", "data": b"two", "many": ["three", ""], "servers": {"a": server}}
    settings = Secret.model_validate({**given, "logins": [{"word": "four"}], "tickets": {"a": {"word": "five"}}})
    assert sorted(secrets_of(settings)) == sorted(["sk-1", "two", "three", "x" * 20, "y" * 20, "four", "five"])


def test_what_is_wrong_in_a_file_is_told_though_something_goes_before_it(found: Path) -> None:
    found.write_text("[limits]\nparallel_runs = 0")
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={"LLMOS_LIMITS__PARALLEL_RUNS": "1"})
    assert caught.value.what == f"limits.parallel_runs = 0 in {found}: must be at least 1."


def test_each_of_two_sources_is_named(found: Path) -> None:
    found.write_text("[plugins.p]\ntext = 1")
    with pytest.raises(SettingsError) as caught:
        plugin_settings(Kind, "p", load_settings(environ={"LLMOS_PLUGINS__P__WHOLE": "0"}))
    assert caught.value.what == f"plugins.p.text = 1 in {found}: must be text."
    assert caught.value.why == "plugins.p.whole = 0 in LLMOS_PLUGINS__P__WHOLE: must be at least 1."


@dataclass(slots=True)
class Key:
    secret: SecretStr


class Guarded(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, SecretStr]

    left_out: SecretStr = Field(default=SecretStr("one"), exclude=True)
    written: Annotated[SecretStr, PlainSerializer(lambda _: "hidden")] = SecretStr("two")
    keys: dict[str, list[Key]] = Field(default_factory=lambda: {"a": [Key(SecretStr("three"))]})

    @computed_field
    def made(self) -> SecretStr:
        return SecretStr("four")


class Dumps(BaseModel):
    inner: Guarded = Guarded(more="five")

    @model_serializer
    def dump(self) -> str:
        return "nothing"


def test_secrets_are_found_that_no_dump_holds() -> None:
    assert sorted(secrets_of(Dumps())) == ["five", "four", "one", "three", "two"]

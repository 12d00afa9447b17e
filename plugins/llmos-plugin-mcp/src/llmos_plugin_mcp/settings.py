"""The settings of this plugin: the tables ``[plugins.mcp.servers.NAME]``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from llmos_core import OWN, LLMOSError

_URL = r"^https?://[^/\s?#@]+(/[^\s#]*)?$"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME = re.compile(r"(?:bearer|basic|token)\s+(.+)", re.IGNORECASE | re.DOTALL)
_PASSED_ON = frozenset(
    {
        *("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"),
        *("LD_LIBRARY_PATH", "NODE_EXTRA_CA_CERTS", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    }
)
_SHORTEST_SECRET = 8
"""A shorter value is no secret, and its letters occur everywhere."""


def _no_double_underscore(name: str) -> str:
    if "__" in f"{name}_":
        raise ValueError("the name of a server may hold no double underscore, and no underscore at its end")
    return name


def _folder(text: str) -> str:
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError("it must be an absolute path, or begin with ~")
    return str(path)


ServerName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=24), AfterValidator(_no_double_underscore)
]
"""The name of a server, which its tools carry: ``NAME__tool``."""

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]


class Server(BaseModel):
    """One MCP server: a program that is started, or an address that is spoken to.

    * ``command`` with ``args`` is started in the directory ``cwd`` (None means the home directory: a program that looks
      for code where it runs must not find what an agent wrote). ``env`` are its variables beside ``PATH``, ``HOME``,
      ``LANG`` and the like.
    * ``url`` is spoken to over streamable HTTP, with ``headers``. In the values of ``env`` and ``headers``, ``${VAR}``
      stands for a variable of the environment.
    * ``timeout_s`` bounds the start and each call, in seconds.
    * ``tools`` are those that are offered, by the server's names; None means all.
    * ``pure`` are tools that only read, and give the same answer to the same question: a run with them can be verified
      and followed. ``repeatable`` are tools that may change something, but may do so again whenever a run is verified.
    * ``trust_annotations`` believes the server where it says that a tool only reads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: Annotated[Text, Field(min_length=1)] | None = None
    args: tuple[Text, ...] = ()
    env: dict[Variable, SecretStr] = Field(default_factory=dict)
    cwd: Annotated[Text, AfterValidator(_folder)] | None = None
    url: Annotated[str, Field(pattern=_URL)] | None = None
    headers: dict[Header, SecretStr] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    tools: tuple[str, ...] | None = None
    pure: tuple[str, ...] = ()
    repeatable: tuple[str, ...] = ()
    trust_annotations: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("it needs either a command or a url")
        if self.url is not None and (self.args or self.env or self.cwd):
            raise ValueError("args, env and cwd are for a command; a url takes headers")
        if self.command is not None and self.headers:
            raise ValueError("headers are for a url; a command takes env")
        if both := set(self.pure) & set(self.repeatable):
            raise ValueError(f"{', '.join(sorted(both))}: a tool is either pure or repeatable")
        return self

    @property
    def argv(self) -> list[str]:
        """The command with its arguments."""
        assert self.command is not None
        return [os.path.expanduser(self.command), *self.args]  # noqa: PTH111 - a command is not always a path

    @property
    def directory(self) -> str:
        """Where the command is started."""
        return self.cwd or str(Path.home())

    @property
    def place(self) -> str:
        """What is started, or spoken to; without secrets."""
        if self.url is not None:
            return self.url.partition("?")[0]
        return " ".join((self.command or "", *self.args))


class McpSettings(BaseModel):
    """Settings of this plugin. ``max_output_chars`` bounds the result of a call that a model sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: dict[ServerName, Server] = Field(default_factory=dict, json_schema_extra=OWN)
    max_output_chars: Annotated[int, Field(ge=1_000, le=150_000)] = 30_000


def environment(name: str, server: Server, source: Mapping[str, str]) -> dict[str, str]:
    """The variables of a server: a few harmless ones, and what its settings name.

    Raises LLMOSError where they need a variable that is not set.
    """
    kept = {key: value for key, value in source.items() if key in _PASSED_ON or key.startswith("LC_")}
    return kept | _filled(name, server.env, source)


def headers(name: str, server: Server, source: Mapping[str, str]) -> dict[str, str]:
    """The headers of every request to a server. Raises LLMOSError as :func:`environment` does."""
    return _filled(name, server.headers, source)


def _filled(name: str, values: Mapping[str, SecretStr], source: Mapping[str, str]) -> dict[str, str]:
    def value(match: re.Match[str]) -> str:
        variable = match[1]
        if variable not in source:
            raise LLMOSError(
                f"The MCP server {name} cannot be used.",
                f"Its settings need the variable {variable}, which is not set.",
                f"Set {variable}, or change [plugins.mcp.servers.{name}].",
            )
        return source[variable]

    return {key: _VARIABLE.sub(value, secret.get_secret_value()) for key, secret in values.items()}


def secrets(server: Server, source: Mapping[str, str]) -> tuple[str, ...]:
    """What no result may show, longest first.

    The values of ``env`` and ``headers``, of the variables in them and of the query of ``url``: as they are, and as an
    answer may hold them (a line of them, escaped as in JSON or Python, without the word before a token).
    """
    given = [secret.get_secret_value() for secret in (*server.env.values(), *server.headers.values())]
    used = {name: source[name] for text in given for name in _VARIABLE.findall(text) if name in source}
    values = {_VARIABLE.sub(lambda match: used.get(match[1], ""), text) for text in given} | set(used.values())
    query = urlsplit(server.url or "").query
    values |= {query, *(value for _, value in parse_qsl(query))}
    forms = {form for value in values for form in _forms(value) if len(form) >= _SHORTEST_SECRET}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _forms(value: str) -> Iterator[str]:
    token = _SCHEME.fullmatch(value.strip())
    for text in {value, *value.splitlines(), *(token.groups() if token else ())}:
        for each in (text, text.strip()):
            yield from (each, repr(each)[1:-1], json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1])

"""``llmos init``: the workspace, and how a model is reached; with questions on a terminal, by options without one."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import anyio
import click

from llmos_core import (
    LLMOS,
    ExitCode,
    LLMOSError,
    SettingsError,
    UsageError,
    load_settings,
    user_file,
)
from llmos_core.commands import change_user_settings, money, print_error, printable, workspace_option
from llmos_plugin_claude.models.anthropic import PUBLIC_API, AnthropicProvider
from llmos_plugin_claude.models.credentials import VARIABLE, checked_key, credentials_file, key_of, read_key, store_key
from llmos_plugin_claude.models.subscription import LOGIN_VARIABLE, SUBSCRIPTION, WEAKER, logged_in
from llmos_plugin_claude.settings import LOCAL_URL, ClaudeSettings
from llmos_plugin_claude.setup.probe import MOST_USD, ask_once, find_servers, models_at

Way = Literal["key", "login", "local", "rehearsal"]

CHECK_MODEL = "claude-haiku-4-5"
FIRST_GOAL = "Create a Python script that prints the primes below 50 and run it"

_PROVIDERS = {"key": "anthropic", "login": SUBSCRIPTION, "local": "anthropic", "rehearsal": "rehearsal"}
_WAYS: dict[str, tuple[Way, str]] = {
    "1": ("key", "an API key"),
    "2": ("login", "a subscription, by the login of the Claude Code CLI"),
    "3": ("local", "a model on this machine (Ollama, LM Studio, vLLM, llama.cpp)"),
    "4": ("rehearsal", "rehearsal: a scripted model that knows a few lessons; needs no key"),
}
_KEEP = "keep"
_OPTIONS = "--key-stdin, --login, --local URL [--model M], --rehearsal, --workspace DIR, --yes"
_PROVIDER = ("model", "provider")
_TABLE = ("plugins", "claude")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be set; what is None stays as it is."""

    way: Way | None = None
    key: str | None = None
    url: str | None = None
    model: str | None = None
    workspace: str | None = None

    def changes(self, old: ClaudeSettings) -> dict[tuple[str, ...], str | bool | None]:
        """What this means for the user's settings."""
        changes: dict[tuple[str, ...], str | bool | None] = {}
        if self.workspace:
            changes["workspace",] = str(Path(self.workspace).expanduser().absolute())
        if self.way:
            changes[_PROVIDER] = _PROVIDERS[self.way]
        if self.way in ("key", "login"):
            changes[*_TABLE, "base_url"] = None
            if old.base_url:
                # It named a model of the local server.
                changes[*_TABLE, "model"] = None
        if self.way == "local":
            changes[*_TABLE, "base_url"] = self.url
        if self.way == "login":
            changes[*_TABLE, "login"] = True
        elif old.login and self.way:
            changes[*_TABLE, "login"] = None
        if self.model:
            changes[*_TABLE, "model"] = self.model
        return changes


@click.command()
@click.option("--key-stdin", is_flag=True, help="Read an API key from standard input, and store it.")
@click.option("--login", is_flag=True, help="Use the Claude Code CLI's own login (a subscription).")
@click.option("--local", "url", metavar="URL", help="Use a model on this machine, for example http://localhost:11434")
@click.option("--rehearsal", is_flag=True, help="Use the scripted model.")
@click.option("--model", metavar="M", help="Model alias or id; for --local a model that the server has.")
@click.option("--check", is_flag=True, help=f"Ask the model once (a key pays, at most ${MOST_USD:g}).")
@click.option("--yes", is_flag=True, help="Ask nothing; what no option says stays as it is.")
@workspace_option
def init(
    key_stdin: bool,
    login: bool,
    url: str | None,
    rehearsal: bool,
    model: str | None,
    check: bool,
    yes: bool,
    workspace: str | None,
) -> None:
    """Set up LLM OS: the workspace, and how a model is reached.

    On a terminal it asks; run again, it shows what is set and changes only what you want changed.

    \b
    Examples:
      llmos init
      llmos init --key-stdin < key.txt
      llmos init --local http://localhost:11434 --model qwen3-coder
    """
    file = load_settings()
    old = _own_settings(file.settings.plugins.get("claude", {}))
    ways: dict[Way, bool] = {"key": key_stdin, "login": login, "local": url is not None, "rehearsal": rehearsal}
    named = [way for way, wanted in ways.items() if wanted]
    if len(named) > 1:
        raise UsageError("A model can be reached in one way only.", fix="Give one of: " + _OPTIONS)
    wish = Wish(named[0] if named else None, url=url, model=model, workspace=workspace)
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    if not asks and not yes and wish == Wish():
        raise UsageError("There is no terminal to ask at.", fix=f"Say what to set: {_OPTIONS}")
    if asks:
        _show(old, file.settings.model.provider)
        wish = _asked(wish)
    elif wish.way == "login":
        _warn_of_login()
    wish = _completed(wish, old, asks)
    if check:
        _check(wish, old)
    _carry_out(wish, old)


def _own_settings(table: dict[str, Any]) -> ClaudeSettings:
    try:
        return ClaudeSettings.model_validate(table)
    except ValueError as error:
        raise SettingsError("The settings of this plugin are wrong.", str(error), "Correct them first.") from error


def _show(old: ClaudeSettings, provider: str | None) -> None:
    click.echo(f"Settings   {user_file()}")
    click.echo(f"Model      {printable(_described(old, provider))}")


def _described(old: ClaudeSettings, provider: str | None) -> str:
    """How a model is reached now."""
    if provider in (None, "anthropic") and old.base_url:
        return f"{old.model} at {old.base_url}"
    if os.environ.get(VARIABLE):
        key = f"the key of {VARIABLE}"
    else:
        key = f"the key in {credentials_file()}" if credentials_file().exists() else "no key yet"
    if provider == "anthropic":
        return f"{old.model}, by {key}"
    if provider == SUBSCRIPTION:
        return f"{old.model}, by the login of the Claude Code CLI"
    return provider or f"nothing chosen ({key})"


def _asked(wish: Wish) -> Wish:
    """The wish, completed by what the user answers."""
    if wish.way is None:
        click.echo("\nHow shall a model be reached?")
        for number, (_, words) in _WAYS.items():
            click.echo(f"  {number}  {words}")
        answer = click.prompt(f"Number, or {_KEEP}", type=click.Choice([*_WAYS, _KEEP]), default=_KEEP)
        wish = replace(wish, way=_WAYS[answer][0] if answer != _KEEP else None)
    if wish.way == "local" and wish.url is None:
        wish = replace(wish, url=_asked_url())
    if wish.way == "login":
        _warn_of_login()
        click.confirm("Go on?", default=True, abort=True)
    return wish


def _warn_of_login() -> None:
    click.echo("With a login, LLM OS can promise less than with a key:")
    for line in WEAKER:
        click.echo(f"  * {line}")


def _asked_url() -> str:
    servers = anyio.run(find_servers)
    for server in servers:
        click.echo(f"  {server.url} answers ({server.name}?): {printable(', '.join(server.models)) or 'no models'}")
    if not servers:
        click.echo("  No server answers on the usual ports.")
    url: str = click.prompt("Address of the server", default=servers[0].url if servers else None)
    return url


def _completed(wish: Wish, old: ClaudeSettings, asks: bool) -> Wish:
    """The wish, checked in form. Raises UsageError."""
    if wish.way == "key":
        public = (old.upstream_url or os.environ.get("ANTHROPIC_BASE_URL") or PUBLIC_API) == PUBLIC_API
        key = _given_key()
        return replace(wish, key=checked_key(key, public=public)) if key else wish
    if wish.way == "login" and find_spec("claude_agent_sdk") is None:
        raise UsageError(
            "A login needs the Claude Agent SDK.", fix='Install it: pip install "llmos-plugin-claude[sdk]"'
        )
    if wish.way == "local":
        url = _checked_url(wish.url or "")
        return replace(wish, url=url, model=_local_model(url, wish.model, asks))
    return wish


def _given_key() -> str:
    """The key as typed or piped; empty where the one that is there shall stay."""
    if not sys.stdin.isatty():
        return sys.stdin.read(4096) or "\n"
    there = key_of(os.environ) or read_key(credentials_file())
    if there:
        where = VARIABLE if key_of(os.environ) else str(credentials_file())
        click.echo(f"There is a key in {where}. An empty answer keeps to it.")
    key: str = click.prompt("API key (not shown)", hide_input=True, default="" if there else None, show_default=False)
    return key


def _checked_url(url: str) -> str:
    url = url.strip().rstrip("/").removesuffix("/v1")
    if not re.fullmatch(LOCAL_URL, url):
        raise UsageError(
            f"{url!r} is no address on this machine.",
            "For another server set plugins.claude.upstream_url in your own settings.",
            "For example: --local http://localhost:11434",
        )
    return url


def _local_model(url: str, model: str | None, asks: bool) -> str:
    """The model to use of a server's: the one named, or the only one, or the one chosen. Raises UsageError."""
    try:
        known = anyio.run(models_at, url)
    except LLMOSError as error:
        if model is None and not asks:
            raise UsageError(
                "Which model shall be used?", error.what, "Name it with --model, or start the server."
            ) from error
        click.echo(f"Note: {error.what} {error.fix}", err=True)
        known = ()
    if model is None and len(known) == 1:
        return known[0]
    if model is None and asks:
        chosen: str = click.prompt("Model", type=click.Choice(known) if known else str)
        return chosen
    if model is None:
        there = f"The server has: {printable(', '.join(known))}." if known else "The server has none yet."
        raise UsageError("Which model shall be used?", there, "Name it with --model.")
    if known and model not in known:
        click.echo(f"Note: the server names no model {model}; it has: {printable(', '.join(known))}.", err=True)
    return model


def _check(wish: Wish, old: ClaudeSettings) -> None:
    """Ask the model once. Raises LLMOSError if it does not answer."""
    if wish.way not in ("key", "local"):
        raise UsageError("--check asks through a key or a local server.", fix="Leave out --check.")
    if wish.way == "local":
        model, settings, environ = wish.model or "", ClaudeSettings(base_url=wish.url), {}
        click.echo(f"Asking {model} at {wish.url} once.")
    else:
        model, settings = wish.model or CHECK_MODEL, old.model_copy(update={"base_url": None})
        environ = {**os.environ, VARIABLE: wish.key or key_of(os.environ) or read_key(credentials_file())}
        click.echo(f"Asking {model} once: one token, at list price less than ${MOST_USD:g}.")
    outcome = anyio.run(ask_once, AnthropicProvider(environ, settings), model)
    if outcome.error:
        raise LLMOSError("The model does not answer.", f"{outcome.error.what} {outcome.error.why}", outcome.error.fix)
    click.echo(f"It answers. Cost: {money(outcome.cost_usd, outcome.billing)}")


def _carry_out(wish: Wish, old: ClaudeSettings) -> None:
    """Make the workspace, store the key, change the settings: what can fail for the user's reasons comes first."""
    changes = wish.changes(old)
    before, after = change_user_settings(changes, write=False)
    system = LLMOS(wish.workspace)
    assert system.workspace is not None
    if wish.key:
        store_key(credentials_file(), wish.key)
        click.echo(f"Stored the key in {credentials_file()}; only you can read it.")
        if os.environ.get(VARIABLE):
            click.echo(f"Note: {VARIABLE} is set, and goes before it.", err=True)
    if after != before:
        change_user_settings(changes)
        click.echo(f"Changed {user_file()}:")
        click.echo("".join(f"  {line}\n" for line in _differences(before, after)), nl=False)
    click.echo(f"The workspace is {system.workspace.root}")
    if wish.way == "login":
        _tell_login(old.cli_path)
    _tell_next(wish)


def _differences(old: str, new: str) -> Iterator[str]:
    """The lines of the settings that were taken away, and those that came."""
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line[0] in "+-" and line[2:].strip():
            yield printable(line)


def _tell_login(cli_path: str | None) -> None:
    """Whether there is a login at all."""
    if not anyio.run(logged_in, cli_path):
        click.echo(f"Note: the CLI is not logged in. Run `claude auth login`, or set {LOGIN_VARIABLE}.", err=True)


def _tell_next(wish: Wish) -> None:
    """Whether a model is ready now, as a run would find it in this directory, and what to do with it."""
    system = LLMOS(wish.workspace)
    try:
        provider = system.machine.choose_model()
    except LLMOSError as error:
        print_error(error)
        click.get_current_context().exit(ExitCode.FAILED)
    if wish.way and provider.name != _PROVIDERS[wish.way]:
        where = "LLMOS_PROVIDER" if os.environ.get("LLMOS_PROVIDER") else "another variable, or a flag,"
        click.echo(f"Note: here {where} goes before it, and chooses: {provider.name}", err=True)
    for notice in provider.notices():
        click.echo(printable(notice))
    click.echo(f'Next: llmos run "{FIRST_GOAL}"')

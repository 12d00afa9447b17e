"""Completion in the shell: ``llmos completion``, and what can be completed, read without booting a system."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from itertools import chain, islice
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    from llmos_core.workspace import Workspace

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

COMPLETE_VARIABLE = "_LLMOS_COMPLETE"
"""The variable through which the shell's script asks ``llmos`` for what it completes."""

_MOST = 100


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options, traces, projects and runs in SHELL.

    \b
    Where to put it:
      bash: echo 'eval "$(llmos completion bash)"' >> ~/.bashrc
      zsh:  echo 'eval "$(llmos completion zsh)"' >> ~/.zshrc     (behind compinit)
      fish: llmos completion fish > ~/.config/fish/completions/llmos.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(click.get_current_context().find_root().command, {}, "llmos", COMPLETE_VARIABLE).source())


def _completes(names: Callable[[click.Context, str], Iterable[str]]) -> Complete:
    """A completion by the names that begin with what is typed. Where nothing can be read, it says nothing."""

    @wraps(names)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            fitting = (name for name in names(ctx, incomplete) if name.startswith(incomplete))
            return [CompletionItem(name) for name in islice(fitting, _MOST)]
        except Exception:  # noqa: BLE001 - the command itself tells what is wrong; a shell that completes must not
            return []

    return complete


@_completes
def complete_projects(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Names of projects."""
    return (project.name for project in _workspace(ctx).projects())


@_completes
def complete_runs(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The latest runs, and the word for the last of them."""
    return chain(["last"], (journal.stem for journal in _workspace(ctx).journals()))


@_completes
def complete_traces(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Ids of traces."""
    directory = _workspace(ctx).memories / "traces"
    return sorted(path.name for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else ()


@_completes
def complete_modes(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The modes: of the auction, and of each strategy that a plugin brings."""
    from llmos_core.contracts import Strategy
    from llmos_core.host.host import Host
    from llmos_core.host.settings import load_settings

    strategies = Host(load_settings(), local=_workspace(ctx).plugins).collect("llmos_strategies", Strategy)
    return ("auto", *sorted(name.lower() for name in strategies))


@_completes
def complete_permission_modes(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """The permission modes."""
    from typing import get_args

    from llmos_core.records import PermissionMode

    return get_args(PermissionMode)


def complete_directories(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of directories, which the shell itself finds."""
    return [CompletionItem(incomplete, type="dir")]


def _workspace(ctx: click.Context) -> Workspace:
    """The workspace that the command would use. Raises SettingsError where the settings are broken."""
    from llmos_core.host.settings import load_settings
    from llmos_core.workspace import find_workspace

    file = load_settings()
    given = ctx.params.get("workspace") or ctx.find_root().params.get("workspace")
    return find_workspace(given, file.path, file.settings.workspace)

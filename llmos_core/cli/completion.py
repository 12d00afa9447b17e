"""What the shell can complete: projects, traces and runs, read without booting a system."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import click
from click.shell_completion import CompletionItem

from llmos_core.errors import LLMOSError
from llmos_core.workspace import Workspace

_MOST = 100


def complete_projects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of projects."""
    space = _workspace(ctx)
    names = (project.name for project in space.projects()) if space else iter(())
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The latest runs."""
    space = _workspace(ctx)
    ids = (journal.stem for journal in space.journals()) if space else iter(())
    return [CompletionItem(id) for id in islice((id for id in ids if id.startswith(incomplete)), _MOST)]


def complete_traces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of traces."""
    space = _workspace(ctx)
    return [CompletionItem(id) for id in islice(_traces(space, incomplete), _MOST)] if space else []


def _traces(space: Workspace, incomplete: str) -> Iterator[str]:
    directory = space.memories / "traces"
    yield from sorted(path.name for path in directory.glob(f"{incomplete}*")) if directory.is_dir() else ()


def _workspace(ctx: click.Context) -> Workspace | None:
    """The workspace that the command would use; none where the settings are broken: completion says nothing."""
    from llmos_core.host.settings import load_settings
    from llmos_core.workspace import find_workspace

    try:
        file = load_settings()
    except LLMOSError:
        return None
    given = ctx.params.get("workspace") or (ctx.find_root().params or {}).get("workspace")
    return find_workspace(given, file.path, file.settings.workspace)

"""The plugins that a command names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from llmos_core.errors import UsageError


def complete_plugins(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of plugins."""
    from llmos_core.cli.plugins.list import look, rows

    try:
        found = {row["name"]: row["summary"] for row in rows(look(ctx.params.get("workspace")))}
    except Exception:  # noqa: BLE001 - the command itself tells what is wrong; a shell that completes must not
        return []
    return [CompletionItem(name, help=about) for name, about in found.items() if name.startswith(incomplete)]


def one_plugin(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The plugin of that name, distribution or id. Raises UsageError where there is none, or more than one."""
    fitting = [row for row in rows if name in (row["name"], row["distribution"], row["id"])]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        ids = ", ".join(row["id"] for row in fitting)
        raise UsageError(f"There is more than one plugin {name}.", f"They are {ids}.", "Say which, with its whole id.")
    from difflib import get_close_matches

    near = get_close_matches(name, [row["name"] for row in rows], 1)
    known = ", ".join(row["name"] for row in rows) or "none"
    raise UsageError(
        f"There is no plugin {name}.",
        f"Did you mean {near[0]}?" if near else f"There are: {known}.",
        "See all with: llmos plugins list",
    )

"""``llmos explain``: the auction for a goal, and nothing run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import click

from llmos_core.cli.options import json_option, read_task, task_options, workspace_option
from llmos_core.cli.output import print_json, print_table

if TYPE_CHECKING:
    from llmos_core.dispatcher import Auction
    from llmos_core.records import Task


_MAY = {False: "may be followed", True: "may be followed, learned elsewhere"}


@click.command()
@task_options
@workspace_option
@json_option
def explain(workspace: str | None, as_json: bool, **fields: Any) -> None:
    """Show which mode GOAL would run in, and why. Runs nothing and costs nothing.

    \b
    Example:
      llmos explain "Create a Python script that prints the primes below 50 and run it"
    """
    task = read_task(**fields)
    auction = anyio.run(_explain, task, workspace)
    if as_json:
        print_json(_data(task, auction))
    else:
        _print(auction)


async def _explain(task: Task, workspace: str | None) -> Auction:
    from llmos_core.system import LLMOS

    async with LLMOS(workspace) as system:
        return await system.explain(task)


def _data(task: Task, auction: Auction) -> dict[str, Any]:
    return {
        "goal": task.goal,
        "mode": auction.mode,
        "reason": auction.reason,
        "bids": [offer.model_dump() for offer in auction.offers],
        "candidates": [candidate.model_dump() for candidate in auction.candidates],
        "error": auction.refusal.model_dump() if auction.refusal else None,
    }


def _print(auction: Auction) -> None:
    click.echo(f"Mode: {auction.mode or 'none'} ({auction.reason})\n")
    rows = [(offer.strategy, f"{offer.fit:.2f}", f"${offer.cost_usd:.2f}", offer.reason) for offer in auction.offers]
    print_table(("strategy", "fit", "cost", "reason"), rows, "No strategy is installed.")
    if auction.candidates:
        click.echo()
        candidates = [
            (c.trace_id[:8], c.version[:8], f"{c.score:.2f}", c.refused or _MAY[c.foreign]) for c in auction.candidates
        ]
        print_table(("trace", "version", "score", "verdict"), candidates, "")
    if auction.refusal:
        click.echo(f"\n{auction.refusal.what}\n{auction.refusal.why}\n{auction.refusal.fix}".rstrip())

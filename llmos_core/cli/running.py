"""Running a task from another command than ``llmos run``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos_core.records import Task


def carry_out(
    make: Callable[[], Task], workspace: str | None, *, as_json: bool, jsonl: bool, quiet: bool, verbose: bool
) -> None:
    """Run a task and show it, as ``llmos run`` does; exits with the code of its outcome.

    The last four are what :func:`shown_options` gives. ``make`` is called once these are known to go together.
    """
    from llmos_core.cli.run import carry_out

    carry_out(make, workspace, as_json=as_json, jsonl=jsonl, quiet=quiet, verbose=verbose)

"""A check of a program that a tool of this plugin starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from llmos_core import Check, hookimpl


@hookimpl
def llmos_checks() -> Iterable[Check]:
    if path := shutil.which("pandoc"):
        return [Check.ok("pandoc", path)]
    return [Check.warning("pandoc", "it is not installed: no document is converted", "Install it: apt install pandoc")]

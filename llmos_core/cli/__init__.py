"""The command line. Each command lives in a module of its own, imported when it is called."""

from __future__ import annotations

from llmos_core.cli.app import main

__all__ = ["main"]

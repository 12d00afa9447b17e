"""The command line. Each command lives in a module of its own, imported when it is called."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The ``llmos`` command. It leaves without taking the interpreter down, which would take longer than a follow."""
    try:
        from llmos_core.cli.app import run_command

        code = run_command()
    except KeyboardInterrupt:
        code = 130
    except OSError:
        code = 1  # there is no room to tell it: standard output is full
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)


__all__ = ["main"]

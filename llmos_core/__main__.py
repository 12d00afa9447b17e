"""``python -m llmos_core`` is the ``llmos`` command."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Python puts the current directory first: what lies there, an agent may have written.
    if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):  # noqa: PTH109 - nothing is imported yet
        del sys.path[0]
    from llmos_core.cli import main

    main()

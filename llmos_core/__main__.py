"""``python -m llmos_core`` is the ``llmos`` command."""

from __future__ import annotations

from llmos_core.cli import main

if __name__ == "__main__":
    main()

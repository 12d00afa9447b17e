"""Lengths of files and of the core: prints both, and fails where a file or the core outgrows its house."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MAX_FILE_LINES = 400
MAX_CORE_LINES = 4_000


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=root, check=True, capture_output=True, text=True
    )
    lengths = {name: (root / name).read_text("utf-8").count("\n") for name in listed.stdout.split("\n") if name}
    long = {name: length for name, length in lengths.items() if length > MAX_FILE_LINES}
    core = sum(length for name, length in lengths.items() if name.startswith("llmos_core/"))
    longest = max(lengths, key=lambda name: lengths[name])
    print(f"core: {core} lines of {MAX_CORE_LINES}; longest file: {longest}, {lengths[longest]} of {MAX_FILE_LINES}")
    for name, length in long.items():
        print(f"{name}: {length} lines, more than {MAX_FILE_LINES}: two subjects in one room?")
    return 1 if long or core > MAX_CORE_LINES else 0


if __name__ == "__main__":
    sys.exit(main())

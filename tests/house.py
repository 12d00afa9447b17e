"""Lengths of files and of the core: prints both, and fails where a file or the core outgrows its house."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

MAX_FILE_LINES = 400
LIMITS = {"llmos_core": 3_750, "llmos_core/host": 1_200, "llmos_core/cli": 2_050}
"""Lines of code in a room, without those of the rooms in it. Documentation, comments and blank lines are not counted,
so that nobody saves on them."""


def code_lines(source: str) -> int:
    """The lines that hold code."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=root, check=True, capture_output=True, text=True
    )
    sources = {name: (root / name).read_text("utf-8") for name in listed.stdout.split("\n") if name}
    lengths = {name: source.count("\n") for name, source in sources.items()}
    code = dict.fromkeys(LIMITS, 0)
    for name, source in sources.items():
        rooms = [room for room in LIMITS if name.startswith(f"{room}/")]
        if rooms:
            code[max(rooms, key=len)] += code_lines(source)
    longest = max(lengths, key=lambda name: lengths[name])
    for part, lines in code.items():
        print(f"{part}: {lines} lines of code of {LIMITS[part]}")
    print(f"longest file: {longest}, {lengths[longest]} lines of {MAX_FILE_LINES}")
    long = [name for name, length in lengths.items() if length > MAX_FILE_LINES]
    for name in long:
        print(f"{name}: {lengths[name]} lines, more than {MAX_FILE_LINES}: two subjects in one room?")
    return 1 if long or any(code[part] > limit for part, limit in LIMITS.items()) else 0


if __name__ == "__main__":
    sys.exit(main())

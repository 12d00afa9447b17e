"""The process behind Grep: reads a request from standard input and writes an answer to standard output, as JSON.

A regular expression can take exponential time, and Python holds its interpreter lock for all of it. In a process of
its own a search can be ended. It imports the standard library only and runs as a plain script.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_LINE = 500
SNIFFED_BYTES = 8192
SEPARATOR = "--"


class Search:
    """One search over the files of a request: pairs of the name to show and the path to open."""

    def __init__(self, request: dict[str, Any]) -> None:
        flags = re.IGNORECASE if request["ignore_case"] else 0
        flags |= re.MULTILINE | re.DOTALL if request["multiline"] else 0
        self.request = request
        self.pattern = re.compile(request["pattern"], flags)
        self.matches = 0
        self.too_large = 0
        self.unreadable = 0

    def entries(self) -> Iterator[str]:
        """The lines of the answer, file by file."""
        form = {"content": self._content, "count": self._count, "files_with_matches": self._name}
        return form[self.request["output_mode"]]()

    def _name(self) -> Iterator[str]:
        for shown, lines in self._texts():
            if next(self._spans(lines), None):
                yield shown

    def _count(self) -> Iterator[str]:
        for shown, lines in self._texts():
            count = sum(1 for _ in self._matching(lines))
            if count:
                self.matches += count
                yield f"{shown}:{count}"

    def _content(self) -> Iterator[str]:
        numbered, named = self.request["line_numbers"], self.request["with_names"]
        separated = self.request["before"] or self.request["after"]
        any_shown = False
        for shown, lines in self._texts():
            last = None
            for index, matched, line in self._rows(lines):
                if separated and any_shown and (last is None or index > last + 1):
                    yield SEPARATOR
                any_shown, last = True, index
                mark = ":" if matched else "-"
                text = line if len(line) <= MAX_LINE else f"[Omitted long {'matching' if matched else 'context'} line]"
                yield f"{f'{shown}{mark}' if named else ''}{f'{index + 1}{mark}' if numbered else ''}{text}"

    def _rows(self, lines: list[str]) -> Iterator[tuple[int, bool, str]]:
        """What to show of a file: the index of a line, whether it matches, its text."""
        if self.request["only_matching"]:
            for first, match in self._spans(lines):
                for index, part in enumerate(match[0].split("\n"), first):
                    if part:
                        yield index, True, part
            return
        last = until = -1  # the last line shown, and the last one that is context of it
        for index in self._matching(lines):
            trailing = range(last + 1, min(until + 1, index))
            leading = range(max(index - self.request["before"], last + 1, trailing.stop), index)
            for at in (*trailing, *leading):
                yield at, False, lines[at]
            yield index, True, lines[index]
            last, until = index, min(index + self.request["after"], len(lines) - 1)
        for at in range(last + 1, until + 1):
            yield at, False, lines[at]

    def _matching(self, lines: list[str]) -> Iterator[int]:
        """The indices of the lines that hold a part of a match, ascending."""
        done = -1
        for first, match in self._spans(lines):
            end = first + match[0].removesuffix("\n").count("\n") + 1
            yield from range(max(first, done + 1), end)
            done = max(done, end - 1)

    def _spans(self, lines: list[str]) -> Iterator[tuple[int, re.Match[str]]]:
        """Every match, with the index of the line it starts in."""
        if self.request["multiline"]:
            text = "\n".join(lines)
            index = start = 0
            for match in self.pattern.finditer(text):
                index += text.count("\n", start, match.start())
                start = match.start()
                yield index, match
        else:
            for index, line in enumerate(lines):
                for match in self.pattern.finditer(line):
                    yield index, match

    def _texts(self) -> Iterator[tuple[str, list[str]]]:
        """The lines of each text file, by the name to show."""
        for shown, path in self.request["files"]:
            try:
                with Path(path).open("rb") as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            except OSError:
                self.unreadable += 1
                continue
            if len(data) > MAX_FILE_BYTES:
                self.too_large += 1
                continue
            text = _decode(data)
            if text:
                yield shown, text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _decode(data: bytes) -> str | None:
    """The text of a file; None for binary data."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:SNIFFED_BYTES]:
        return None
    return data.decode("utf-8-sig", "replace")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What the search gives: at most ``head_limit`` entries after ``offset`` (0: all), in at most ``max_chars``.

    ``matches`` and ``files`` are totals, counted in the mode ``count`` only.
    """
    try:
        search = Search(request)
    except (re.error, OverflowError, RecursionError) as error:
        return {"error": str(error)}
    entries = search.entries()
    files = sum(1 for _ in islice(entries, request["offset"]))
    shown: list[str] = []
    room = request["max_chars"]
    for entry in islice(entries, request["head_limit"] or None):
        room -= len(entry) + 1
        files += 1
        if room < 0:
            break
        shown.append(entry)
    rest = entries if request["output_mode"] == "count" else islice(entries, 1)
    more = sum(1 for _ in rest)
    return {
        "entries": shown,
        "cut": room < 0,
        "more": more > 0,
        "matches": search.matches,
        "files": files + more,
        "too_large": search.too_large,
        "unreadable": search.unreadable,
    }


def main() -> None:
    """Answer the one request."""
    result = answer(json.load(sys.stdin.buffer))
    sys.stdout.buffer.write(json.dumps(result, ensure_ascii=False).encode("utf-8", "replace"))


if __name__ == "__main__":
    main()

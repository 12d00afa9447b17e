"""The process behind Grep: reads a request from standard input and writes an answer to standard output, as JSON.

A regular expression can take exponential time, and Python holds its interpreter lock for all of it. In a process of
its own a search can be ended, and ends by itself where nobody is left to end it. It imports the standard library only
and runs as a plain script.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import resource
import stat
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_LINE = 500
SNIFFED_BYTES = 8192
MAX_MEMORY = 1024 * 1024 * 1024
SEPARATOR = "--"

_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = _NO_LINK | os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
_FILE = _NO_LINK | os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO without a writer would block for ever


class Files:
    """Reads files below an open directory, name after name, so that no symbolic link is followed.

    The directories of the last path stay open: in a sorted list, most files are in one of them.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[str, int]] = []

    def read(self, path: str) -> bytes:
        """At most one byte more than MAX_FILE_BYTES. Raises OSError if there is no regular file."""
        *directories, name = path.split("/")
        descriptor = os.open(name, _FILE, dir_fd=self._enter(directories))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError("no regular file")
            with open(descriptor, "rb", closefd=False) as file:
                # Room for the size that is said, if one is: to ask for the limit each time would be slow.
                return file.read(min(status.st_size or MAX_FILE_BYTES, MAX_FILE_BYTES) + 1)
        finally:
            os.close(descriptor)

    def close(self, kept: int = 0) -> None:
        """Close the directories, but for the first few."""
        while len(self._open) > kept:
            os.close(self._open.pop()[1])

    def _enter(self, names: list[str]) -> int:
        same = 0
        for name, (opened, _) in zip(names, self._open, strict=False):
            if name != opened:
                break
            same += 1
        self.close(same)
        for name in names[same:]:
            self._open.append((name, os.open(name, _DIRECTORY, dir_fd=self._last())))
        return self._last()

    def _last(self) -> int:
        return self._open[-1][1] if self._open else self._root


class Search:
    """One search over the files of a request: pairs of the name to show and the path below its ``directory``."""

    def __init__(self, request: dict[str, Any]) -> None:
        flags = re.IGNORECASE if request["ignore_case"] else 0
        flags |= re.MULTILINE | re.DOTALL if request["multiline"] else 0
        self.request = request
        self.files = Files(request["directory"])
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
                data = self.files.read(path)
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
    try:
        return _found(search, request)
    finally:
        search.files.close()


def _found(search: Search, request: dict[str, Any]) -> dict[str, Any]:
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


def bound(cpu_s: int) -> None:
    """Bound the time and the memory of this process."""
    for kind, most in ((resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_DATA, MAX_MEMORY)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Answer the one request."""
    request = json.load(sys.stdin.buffer)
    bound(request["cpu_s"])
    result = answer(request)
    sys.stdout.buffer.write(json.dumps(result, ensure_ascii=False).encode("utf-8", "replace"))


if __name__ == "__main__":
    main()

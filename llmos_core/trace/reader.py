"""Reading the body of a trace file, line by line and by position."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import JsonValue

from llmos_core.trace.frontmatter import LOST, unreadable
from llmos_core.trace.record import ProducedFile, Step, StepResult
from llmos_core.trace.scalars import from_json, read_argument, read_line, shown

STEPS = "## Execution Steps"
FILES = "## Files"
ANSWER = "## Answer"
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_JSON = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_HEADING = re.compile("#(?: .*)?")
_STEP = re.compile(r"### Step ([0-9]+): (.*)")
_TOOL = re.compile("Tool: (.*)")
_AGENT = re.compile("Agent: (.*)")
_EFFECT = re.compile("Effect: (pure|workspace|external)")
_ARGUMENT = re.compile(rf"({IDENTIFIER.pattern}|{_JSON}):(?: (.*))?")
_RESULT = re.compile(r"Result: (?:ok|(error)(?:, exit (-?[0-9]+))?|exit (-?[0-9]+))")
_OUTPUT = re.compile("Output:(?: (.*))?")
_FILE = re.compile(rf"- ({_JSON}|.*?): (.*)")
_FENCE = re.compile("(`{3,})[^`]*")
_JSON_LINE = re.compile(_JSON)

T = TypeVar("T")


def read_body(lines: Sequence[str], start: int) -> dict[str, Any]:
    """The fields of a trace that stand after its front matter. Raises TraceError, naming the line."""
    return _Reader(lines, start).body()


class _Reader:
    """A place in the lines of a file. ``seen`` is the number of the line that was looked at last."""

    def __init__(self, lines: Sequence[str], start: int) -> None:
        self._lines = lines
        self._at = start
        self._seen = start

    def body(self) -> dict[str, Any]:
        steps: list[Step] = []
        files: list[ProducedFile] = []
        answer = ""
        if _HEADING.fullmatch(self._peek()):
            self._at += 1
        if self._accept(STEPS):
            while self._peek().startswith("### "):
                steps.append(self._step(len(steps) + 1))
        if self._accept(FILES):
            while self._peek().startswith("- "):
                files.append(self._file())
        if self._accept(ANSWER):
            answer = self._answer()
        if self._peek():
            self._fail("nothing was expected here")
        return {"steps": tuple(steps), "files": tuple(files), "answer": answer}

    def _step(self, number: int) -> Step:
        found = self._take(_STEP, f"### Step {number}: TITLE")
        if found[1] != str(number):
            self._fail(f"step {number} was expected")
        title = self._value(read_line, found[2])
        tool = self._value(read_line, self._take(_TOOL, "Tool: NAME")[1])
        agent = None
        if _AGENT.fullmatch(self._peek()):
            agent = self._value(read_line, self._take(_AGENT, "Agent: NAME")[1])
        effect = self._take(_EFFECT, "Effect: pure, workspace or external")[1]
        head = {"title": title, "tool": tool, "agent": agent, "effect": effect}
        return Step.model_validate({**head, "arguments": self._arguments(), "result": self._result()})

    def _arguments(self) -> dict[str, JsonValue]:
        arguments: dict[str, JsonValue] = {}
        paragraph = True
        while True:
            paragraph = paragraph and not self._blank()
            found = _ARGUMENT.fullmatch(self._peek())
            if not paragraph and (found is None or found[2] is not None):
                return arguments
            if found is None:
                self._fail("an argument, name: value, or an empty line was expected")
            self._at += 1
            name = str(self._value(from_json, found[1])) if found[1].startswith('"') else found[1]
            if name in arguments:
                self._fail(f"the argument {shown(name)} is repeated")
            arguments[name] = self._block() if found[2] is None else self._value(read_argument, found[2])

    def _result(self) -> StepResult:
        found = self._take(_RESULT, "Result: ok, error, exit N, or error, exit N")
        digits = found[2] or found[3]
        exit_code = self._value(int, digits) if digits else None
        output = ""
        if said := _OUTPUT.fullmatch(self._peek()):
            self._at += 1
            output = self._block() if said[1] is None else self._value(read_line, said[1])
        return StepResult(output=output, is_error=found[1] is not None, exit_code=exit_code)

    def _file(self) -> ProducedFile:
        found = self._take(_FILE, "- PATH: sha256:DIGEST or - PATH: removed")
        path = self._value(read_argument, found[1])
        state = self._value(read_line, found[2])
        if not isinstance(path, str) or not (state == "removed" or state.startswith("sha256:")):
            self._fail("a path with its digest, or with the word removed, was expected")
        return ProducedFile(path=path, digest=None if state == "removed" else state.removeprefix("sha256:"))

    def _answer(self) -> str:
        if self._peek().startswith('"'):
            return self._value(read_line, self._take(_JSON_LINE, "a JSON string")[0])
        return self._block()

    def _block(self) -> str:
        fence = self._take(_FENCE, "a fenced block")[1]
        start = self._at
        try:
            end = self._lines.index(fence, start)
        except ValueError:
            self._fail("the block that begins here is not closed")
        self._at = end + 1
        return "\n".join(self._lines[start:end])

    def _value(self, read: Callable[[str], T], raw: str) -> T:
        try:
            return read(raw)
        except ValueError as error:
            self._fail(f"the value cannot be read: {error}", "Write it as JSON, a text as a JSON string.")

    def _blank(self) -> bool:
        return self._at >= len(self._lines) or not self._lines[self._at].strip()

    def _peek(self) -> str:
        """The next line that is not empty, without taking it; empty at the end."""
        while self._at < len(self._lines) and self._blank():
            self._at += 1
        self._seen = self._at + 1
        return self._lines[self._at] if self._at < len(self._lines) else ""

    def _accept(self, line: str) -> bool:
        found = self._peek() == line
        self._at += found
        return found

    def _take(self, form: re.Pattern[str], expected: str) -> re.Match[str]:
        found = form.fullmatch(self._peek())
        if found is None:
            self._fail(f"{expected} was expected")
        self._at += 1
        return found

    def _fail(self, why: str, fix: str = LOST) -> NoReturn:
        line = self._lines[self._seen - 1] if self._seen <= len(self._lines) else "the end of the file"
        raise unreadable(min(self._seen, len(self._lines)), f"{why}; there is {shown(line)}.", fix)

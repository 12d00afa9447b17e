"""The Markdown form of a trace: what :func:`render_trace` writes, :func:`parse_trace` reads back as the same record.

A step is read by position: ``Tool``, ``Agent`` (of a sub-agent's call only), ``Effect``, one argument a line up to the
first empty line, then arguments as fenced blocks, then ``Result`` and ``Output``. A block ends at its own fence only;
every other text stands on a line that begins with its name. So no text can become a step, a header or front matter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from pydantic import JsonValue, ValidationError

from llmos_core.errors import TraceError
from llmos_core.trace.frontmatter import line_of, read_head, render_head, unreadable
from llmos_core.trace.reader import ANSWER, FILES, IDENTIFIER, STEPS, read_body
from llmos_core.trace.record import Step, Trace
from llmos_core.trace.scalars import CONTROL, is_argument, is_line, shown, to_json, write_argument, write_line

MAX_BYTES = 16 << 20
"""The largest trace file."""

EDITED = "the steps were edited after they were verified"
"""Why a trace whose steps do not match their digest is not verified."""

_LONGEST_LINE = 100  # characters of a text that still stands on a line; a longer one becomes a block
_HEADING_LENGTH = 80
_LANGUAGES = {"js": "javascript", "md": "markdown", "py": "python", "rs": "rust", "sh": "bash", "ts": "typescript"}


def trace_version(data: bytes) -> str:
    """The version of a trace file: sixteen hex digits of the SHA-256 of its bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def status(is_error: bool, exit_code: int | None) -> str:
    """How a step ended, in the words of its ``Result`` line."""
    words = ["error"] if is_error else []
    if exit_code is not None:
        words.append(f"exit {exit_code}")
    return ", ".join(words) or "ok"


def render_trace(trace: Trace) -> str:
    """The trace as Markdown, always the same for the same trace.

    Raises TraceError for what no file can hold exactly (NaN, infinities, lone surrogates) and for more than 16 MiB.
    """
    try:
        body = "\n".join(_body(trace)) + "\n"
        text = render_head(trace, _digest(body)) + body
        size = len(text.encode())
    except (ValueError, OverflowError, RecursionError) as error:
        raise _unwritable(str(error)) from error
    if size > MAX_BYTES:
        raise _unwritable(f"it would be {size:,} bytes long; at most {MAX_BYTES:,} are accepted")
    return text


def parse_trace(text: str | bytes) -> Trace:
    """The trace that a file holds. Raises TraceError for anything else, naming the line.

    Where the digest in the front matter does not match the steps, the trace comes back unverified.
    """
    lines = _clean(text).split("\n")
    data, start = read_head(lines)
    if data.pop("steps_digest", None) != _digest("\n".join(lines[start:])):
        data |= {"verified": None, "unverified_reason": EDITED}
    try:
        return Trace(**data, **read_body(lines, start))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise unreadable(line_of(place.split(".")[0], lines), f"{shown(place)}: {shown(fault['msg'], 200)}") from error


def _digest(body: str) -> str:
    return f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"


def _unwritable(why: str) -> TraceError:
    return TraceError("The trace cannot be written.", f"Its text does not fit a file: {why}.")


def _clean(text: str | bytes) -> str:
    """The text, once it is known to be UTF-8, of an accepted size, and free of characters that we never write."""
    try:
        data = text.encode() if isinstance(text, str) else text
        if len(data) > MAX_BYTES:
            raise unreadable(1, f"the file is {len(data):,} bytes long; at most {MAX_BYTES:,} are accepted.")
        text = data.decode()
    except UnicodeError as error:
        raise unreadable(1, f"the file is not UTF-8: {shown(str(error), 200)}.") from error
    found = CONTROL.search(text)
    if found is None:
        return text
    line = text.count("\n", 0, found.start()) + 1
    if found[0] == "\r":
        raise unreadable(line, "the line ends with a carriage return.", "Convert the file to LF line ends.")
    raise unreadable(line, f"the character U+{ord(found[0]):04X} must be written as an escape in a JSON string.")


def _body(trace: Trace) -> Iterator[str]:
    yield ""
    yield f"# {_heading(trace.goal_text)}"
    if trace.steps:
        yield from ("", STEPS)
    for number, step in enumerate(trace.steps, 1):
        yield from ("", f"### Step {number}: {write_line(step.title)}", "")
        yield from _step(step)
    if trace.files:
        yield from ("", FILES, "")
    for file in trace.files:
        state = "removed" if file.digest is None else f"sha256:{file.digest}"
        yield f"- {write_argument(file.path)}: {write_line(state)}"
    if trace.answer:
        yield from ("", ANSWER, "")
        yield from [to_json(trace.answer)] if CONTROL.search(trace.answer) else _block(trace.answer, "text")


def _heading(goal: str) -> str:
    words = " ".join(CONTROL.sub(" ", goal).split())
    return words if len(words) <= _HEADING_LENGTH else words[: _HEADING_LENGTH - 1] + "…"


def _step(step: Step) -> Iterator[str]:
    yield f"Tool: {write_line(step.tool)}"
    if step.agent is not None:
        yield f"Agent: {write_line(step.agent)}"
    yield f"Effect: {step.effect}"
    blocks: dict[str, str] = {}
    for name, value in step.arguments.items():
        if isinstance(value, str) and _wants_block(value, is_argument):
            blocks[name] = value
        else:
            yield f"{_name(name)}: {write_argument(value)}"
    for name, text in blocks.items():
        yield from ("", f"{_name(name)}:")
        yield from _block(text, _language(name, step.arguments))
    yield from ("", f"Result: {status(step.result.is_error, step.result.exit_code)}")
    output = step.result.output
    if _wants_block(output, is_line):
        yield "Output:"
        yield from _block(output, "text")
    elif output:
        yield f"Output: {write_line(output)}"


def _name(name: str) -> str:
    return name if IDENTIFIER.fullmatch(name) else to_json(name)


def _wants_block(text: str, fits_line: Callable[[str], bool]) -> bool:
    """Whether a text reads better as a block: it has lines, is long, or would need escapes inside a JSON string."""
    if len(text) <= _LONGEST_LINE and "\n" not in text and (fits_line(text) or not re.search(r'["\\\t]', text)):
        return False
    return not CONTROL.search(text)


def _block(text: str, language: str) -> Iterator[str]:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    yield fence + language
    yield text
    yield fence


def _language(name: str, arguments: Mapping[str, JsonValue]) -> str:
    if name == "command":
        return "bash"
    path = arguments.get("file_path")
    suffix = PurePosixPath(path).suffix[1:].lower() if isinstance(path, str) else ""
    return _LANGUAGES.get(suffix, suffix) if re.fullmatch("[a-z0-9]{1,12}", suffix) else "text"

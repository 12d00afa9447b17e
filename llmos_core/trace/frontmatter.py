"""The front matter of a trace: written by our own small emitter, read by python-frontmatter after strict checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from llmos_core.errors import TraceError
from llmos_core.trace.record import FORMAT, Trace
from llmos_core.trace.scalars import from_json, shown, to_json, write_yaml

if TYPE_CHECKING:
    from frontmatter.default_handlers import YAMLHandler

MAX_BYTES = 3 << 20
"""The largest front matter: room for the longest goal and inputs when each of their characters must be escaped."""

_MAX_DEPTH = 8  # nested collections; libyaml's Python binding crashes the process on very deep ones

_FIELDS = (
    "goal_signature",
    "goal_text",
    "inputs",
    "constraints",
    "env",
    "success_rating",
    "usage_count",
    "last_used",
    "created_at",
    "estimated_cost_usd",
    "estimated_time_secs",
    "mode",
    "tools_used",
    "plugins",
    "format",
    "cost_billing",
    "completed",
    "parameters",
    "steps_digest",
    "verified",
    "unverified_reason",
)

_USUAL = {"inputs": (), "constraints": (), "env": (), "plugins": (), "completed": True, "unverified_reason": None}
"""What is left out."""

LOST = "Restore the file, or learn the goal again."


def unreadable(line: int, why: str, fix: str = LOST) -> TraceError:
    """The error for a trace file that cannot be read, with the line that shows it."""
    return TraceError("The trace cannot be read.", f"Line {line}: {why}", fix)


def render_head(trace: Trace, steps_digest: str) -> str:
    """The front matter with both of its fences. Raises ValueError for what YAML cannot hold, and for too much of it."""
    data = trace.model_dump(include=set(_FIELDS)) | {"steps_digest": steps_digest}
    data["inputs"] = tuple(_input(name, value) for name, value in trace.inputs.items())
    for name, usual in _USUAL.items():
        if data[name] == usual:
            del data[name]
    lines = ["---", *(line for name in _FIELDS if name in data for line in _entry(name, data[name])), "---", ""]
    text = "\n".join(lines)
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"its front matter is larger than {MAX_BYTES:,} bytes")
    return text


def _input(name: str, value: JsonValue) -> dict[str, JsonValue]:
    """An input as an entry of a list: its name can be any text, and a value that is no scalar is JSON."""
    return {"name": name, **({"json": to_json(value)} if isinstance(value, dict | list) else {"value": value})}


def _inputs(entries: Any) -> dict[str, JsonValue]:
    """The inverse of :func:`_input`. Raises ValueError."""
    inputs: dict[str, JsonValue] = {}
    for entry in entries if isinstance(entries, list) else [None]:
        match entry:
            case {"name": str(name), "json": str(text), **rest} if not rest:
                inputs[name] = from_json(text)
            case {"name": str(name), "value": value, **rest} if not rest:
                inputs[name] = value
            case _:
                raise ValueError("an input has a name, and a value or its json")
    if len(inputs) != len(entries):
        raise ValueError("an input is repeated")
    return inputs


def _entry(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{name}:"
        for key, item in value.items():
            yield from (f"  {line}" for line in _entry(key, item))
    elif isinstance(value, tuple) and value:
        yield f"{name}:"
        for item in value:
            first, *rest = _item(item)
            yield f"  - {first}"
            yield from (f"    {line}" for line in rest)
    else:
        yield f"{name}: {_scalar(value)}"


def _item(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _entry(key, item)]
    return [_scalar(value)]


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return write_yaml(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    text = json.dumps(value, allow_nan=False)
    # YAML 1.1 takes a number without a point for a text when it has an exponent.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text


def read_head(lines: Sequence[str]) -> tuple[dict[str, Any], int]:
    """The values of the front matter, and the index of the first line after it. Raises TraceError."""
    if lines[0] != "---":
        raise unreadable(1, "the file does not begin with front matter, the line ---.")
    end = next((index for index, line in enumerate(lines) if index and line.startswith("---")), 0)
    if not end or lines[end] != "---":
        raise unreadable(end + 1, "the front matter is not closed by the line ---.")
    text = "\n".join(lines[1:end])
    if len(text.encode()) > MAX_BYTES:
        raise unreadable(1, f"the front matter is larger than {MAX_BYTES:,} bytes.")
    data = _load(text)
    if data.get("format") != FORMAT or type(data["format"]) is not int:
        found = shown(str(data.get("format", "none")))
        raise TraceError(
            f"The trace has the unknown format {found}.",
            f"This version of LLM OS reads format {FORMAT}.",
            "Update LLM OS, or learn the goal again.",
        )
    for name in data:
        if name not in _FIELDS:
            raise unreadable(line_of(name, lines), f"the front matter does not know the key {shown(name)}.")
    if "inputs" in data:
        try:
            data["inputs"] = _inputs(data["inputs"])
        except ValueError as error:
            raise unreadable(line_of("inputs", lines), f"inputs: {error}.") from error
    return data, end + 1


def line_of(name: str, lines: Sequence[str]) -> int:
    """The number of the line on which a top-level key stands; 1 if it stands nowhere."""
    return next((number for number, line in enumerate(lines, 1) if line.startswith(f"{name}:")), 1)


def _load(text: str) -> dict[str, Any]:
    import frontmatter
    import yaml

    try:
        _check_tokens(f"\n{text}")  # as frontmatter hands it to the loader: line 0 is that of the fence
        data, _ = frontmatter.parse(f"---\n{text}\n---\n", handler=_handler())
        # What the record cannot keep exactly (infinities, lone surrogates) must not get into it.
        json.dumps(data, ensure_ascii=False, allow_nan=False, default=str).encode()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise unreadable(line, f"{error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise unreadable(1, f"the front matter is no YAML we read: {shown(str(error), 200)}.") from error
    return data


def _check_tokens(text: str) -> None:
    """Refuse what our front matter never holds and a loader should not meet. The scanner does not recurse."""
    import yaml

    refused = (yaml.AliasToken, yaml.AnchorToken, yaml.TagToken, yaml.DirectiveToken)
    starts = (
        yaml.BlockMappingStartToken,
        yaml.BlockSequenceStartToken,
        yaml.FlowMappingStartToken,
        yaml.FlowSequenceStartToken,
    )
    ends = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
    depth = 0
    for token in yaml.scan(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(token, starts) - isinstance(token, ends)
        if isinstance(token, refused):
            raise unreadable(token.start_mark.line + 1, "aliases, anchors, tags and directives are not accepted.")
        if depth > _MAX_DEPTH:
            raise unreadable(token.start_mark.line + 1, "the front matter is nested too deeply.")


@cache
def _handler() -> YAMLHandler:
    import yaml
    from frontmatter.default_handlers import YAMLHandler

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if key.tag != "tag:yaml.org,2002:str" or key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, "a key is repeated or is no text", key.start_mark
                    )
                seen.add(key.value)
            result: dict[Any, Any] = super().construct_mapping(node, deep)
            return result

    class Handler(YAMLHandler):
        def load(self, fm: str, **kwargs: object) -> Any:
            return super().load(fm, Loader=Loader, **kwargs)

    return Handler()

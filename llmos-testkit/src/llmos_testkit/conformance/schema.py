"""JSON Schema of inputs: whether it is one, and an input that fits it. True and False are schemas, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any] | bool
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
_MADE: dict[str, Any] = {"string": "conformance", "integer": 1, "number": 1.0, "boolean": False, "null": None}


def faults(schema: Schema, root: Mapping[str, Any] | None = None, path: str = "input") -> Iterator[str]:
    """What is wrong with a schema, as far as a model's API minds."""
    if isinstance(schema, bool):
        return
    root = root or schema
    if "$ref" in schema and _resolved(schema, root) is None:
        yield f"{path}: {schema['$ref']} names nothing"
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in TYPES:
            yield f"{path}: {kind} is no type"
    properties = schema.get("properties", {})
    for missing in sorted(set(schema.get("required", ())) - set(properties)):
        yield f"{path}: {missing} is required, but no property"
    for name, part in properties.items():
        yield from faults(part, root, f"{path}.{name}")
    for key in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(key, ()):
            yield from faults(part, root, path)
    if isinstance(schema.get("items"), dict):
        yield from faults(schema["items"], root, f"{path}[]")


def sample(schema: Schema, root: Mapping[str, Any] | None = None) -> Any:
    """A value that should fit a schema: its example or default, else the smallest that can be made of its type."""
    if isinstance(schema, bool):
        return _MADE["string"]
    root = root or schema
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "$ref" in schema:
        return sample(_resolved(schema, root) or {}, root)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], root)
    return _of_type(schema, root)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: sample(properties.get(name, {}), root) for name in schema.get("required", ())}
    if kind == "array":
        return [sample(schema.get("items", True), root)] * int(schema.get("minItems", 0))
    return _bounded(_MADE.get(kind), schema)


def _bounded(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return value.ljust(int(schema.get("minLength", 0)), "x")[: int(schema.get("maxLength", len(value) + 10_000))]
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is not None and value <= low:
            return type(value)(low + ("exclusiveMinimum" in schema))
        return value if high is None or value < high else type(value)(high - ("exclusiveMaximum" in schema))
    return value


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Schema | None:
    found: Any = root
    for part in str(schema["$ref"]).removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping | bool) else None

"""Judging settings by pydantic models: what is wrong is said in plain words, and no secret is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from llmos_core.errors import SettingsError
from llmos_core.host.settings_file import merged
from llmos_core.host.settings_sources import Layers, dotted, source_of

S = TypeVar("S", bound=BaseModel)

MASK = "***"
_LONGEST_VALUE = 60
_TYPES = {
    **dict.fromkeys(("dict", "model", "mapping", "dataclass"), "a table"),
    **dict.fromkeys(("list", "tuple", "set", "frozen"), "a list"),
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
}
_WORDS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "too_short": "must not be shorter than {min_length}",
    "too_long": "must not be longer than {max_length}",
    "missing": "must be set",
}


def check(kind: type[S], layers: Layers, section: Sequence[str] = ()) -> S:
    """The layers of a section as settings of a kind. Raises SettingsError: which keys of which source, and why."""
    data = joined(layers)
    settings, errors = judged(kind, data)
    if settings is not None:
        return settings
    fields = kind.model_fields.items()
    secret = {key for name, field in fields if is_secret(field.annotation) for key in (name, field.alias or name)}
    hidden = sorted({str(leaf) for key in secret & data.keys() for leaf in leaves(data[key])} - {""}, key=len)[::-1]
    wrong: dict[str, list[str]] = {}
    for error in errors:
        path, value = _reach(data, error)
        place = dotted([*section, *path])
        if path and path[0] not in secret and not isinstance(value, dict | list):
            text = json.dumps(value, ensure_ascii=False, default=str)
            place += f" = {text[:_LONGEST_VALUE]}{'...' * (len(text) > _LONGEST_VALUE)}"
        if source := source_of(layers, path):
            place += f" in {source}"
        wrong.setdefault(place, []).append(_problem(kind, path, error, hidden))
    first, *others = [f"{place}: {', or '.join(dict.fromkeys(problems))}." for place, problems in wrong.items()]
    raise SettingsError(first, "\n".join(others), "Correct or remove it.")


def joined(layers: Layers) -> dict[str, Any]:
    """The layers as one table."""
    data: dict[str, Any] = {}
    for _, table in layers:
        data = merged(data, table)
    return data


def judged(kind: type[S], data: Mapping[str, Any]) -> tuple[S | None, Sequence[Any]]:
    """The settings, or what pydantic has against the data."""
    try:
        return kind.model_validate(data), ()
    except ValidationError as error:
        return None, error.errors(include_url=False)


def names_in(kind: type[BaseModel]) -> set[str]:
    """The names of all fields of a model and of what it is made of."""
    return {field.alias or name for name, field in fields_in(kind)}


def fields_in(annotation: Any) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of the models, dataclasses and typed dictionaries that a type is made of, with their names."""
    return (field for kind in _types_in(annotation) for field in _fields(kind).items())


def is_secret(annotation: Any) -> bool:
    """Whether a value of a type can hold a secret: pydantic's SecretStr or its like."""
    return any(hasattr(kind, "get_secret_value") for kind in _types_in(annotation))


def _types_in(annotation: Any, seen: tuple[Any, ...] = ()) -> Iterator[Any]:
    """A type and all that it is made of, through aliases, fields of models and fields of dataclasses."""
    annotation = getattr(annotation, "__value__", annotation)
    if annotation in seen:
        return
    yield annotation
    for inner in (*get_args(annotation), *(field.annotation for field in _fields(annotation).values())):
        yield from _types_in(inner, (*seen, annotation))


def _fields(kind: Any) -> Mapping[str, FieldInfo]:
    """The fields of a model, a dataclass or a typed dictionary; none of another type."""
    if not isinstance(kind, type) or hasattr(kind, "__pydantic_fields__"):
        return getattr(kind, "__pydantic_fields__", {})
    # __total__ marks a TypedDict, also one of typing_extensions.
    plain = is_dataclass(kind) or hasattr(kind, "__total__")
    hints = get_type_hints(kind, include_extras=True) if plain else {}
    own = {name: getattr(field, "default", ...) for name, field in getattr(kind, "__dataclass_fields__", {}).items()}
    return {name: FieldInfo.from_annotated_attribute(_bare(hint), own.get(name, ...)) for name, hint in hints.items()}


def _bare(hint: Any) -> Any:
    """The type of a key of a typed dictionary, without the word that it may be missing, or is not to be changed."""
    return _bare(get_args(hint)[0]) if str(get_origin(hint)).endswith(("Required", "ReadOnly")) else hint


def secrets_of(settings: BaseModel) -> tuple[str, ...]:
    """The texts of all secrets (pydantic's SecretStr and its like) within settings."""
    found = (leaf.get_secret_value() for leaf in leaves(settings) if hasattr(leaf, "get_secret_value"))
    return tuple(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in found if text)


def leaves(value: Any) -> Iterator[Any]:
    """The values within tables, lists, models and dataclasses; also those that a model's own dump would leave out."""
    if isinstance(value, BaseModel):
        computed = [getattr(value, name) for name in type(value).model_computed_fields]
        value = [vars(value), value.model_extra, computed]
    elif is_dataclass(type(value)):
        value = [getattr(value, name) for name in value.__dataclass_fields__]
    if not isinstance(value, dict | list | tuple | set | frozenset):
        yield value
        return
    for item in value.values() if isinstance(value, dict) else value:
        yield from leaves(item)


def _reach(data: Any, error: Any) -> tuple[list[str], Any]:
    """How far the location of an error leads in the data (it names members of unions too), and what stands there.

    A missing key leads to itself. Nothing is told of what stands there where the key itself is wrong.
    """
    if error["type"] in ("missing", "extra_forbidden"):
        return [*map(str, error["loc"])], {}
    path = []
    for part in error["loc"]:
        if not (isinstance(data, dict) and part in data) and not (isinstance(data, list) and isinstance(part, int)):
            break
        data = data[part]
        path.append(str(part))
    return path, data


def _problem(kind: type[BaseModel], path: Sequence[str], error: Any, hidden: Sequence[str]) -> str:
    sort, context = error["type"], error.get("ctx", {})
    first, _, rest = sort.partition("_")
    if sort == "extra_forbidden":
        from difflib import get_close_matches

        near = get_close_matches(path[-1], names_in(kind), 1)
        return f"there is no such key{f' (did you mean {near[0]}?)' if near else ''}"
    if sort in _WORDS:
        bounds = {name: f"{bound:.15g}" if isinstance(bound, float) else bound for name, bound in context.items()}
        return _WORDS[sort].format(**bounds)
    if first in _TYPES and rest.endswith(("type", "parsing", "from_float")):
        return f"must be {_TYPES[first]}"
    if "error" not in context:
        return re.sub(r"^\w+ should", "must", error["msg"])
    problem = str(context["error"]).rstrip(".")  # the plugin's own words, which may quote what was read
    for text in hidden:
        problem = problem.replace(text, MASK)
    return problem

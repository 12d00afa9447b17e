"""Inputs of tools whose schema a server gave: judged when it is looked at, and a model that validates by it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, JsonValue, RootModel, ValidationError, create_model, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from llmos_plugin_mcp.limits import beyond

if TYPE_CHECKING:
    from jsonschema.protocols import Validator  # type: ignore[import-untyped]

_PROPERTY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf")
_MOST_ERRORS = 5


class ServerInput(RootModel[dict[str, JsonValue]]):
    """Base of the inputs: any JSON object that fits the schema of the server."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    schema_given: ClassVar[Mapping[str, Any]] = {}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        errors = [
            InitErrorDetails(type=PydanticCustomError("schema", "{text}", {"text": text}), loc=place, input=self.root)
            for place, text in _faults(self.schema_given, self.root)
        ]
        if errors:
            raise ValidationError.from_exception_data(type(self).__name__, errors)
        return self

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """The server's schema; without what the Messages API takes at no top level, which is checked all the same."""
        return {key: deepcopy(value) for key, value in cls.schema_given.items() if key not in _NOT_AT_THE_TOP}


def input_model(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """The input of a tool with this schema."""
    model = create_model(f"{name}_input", __base__=ServerInput)
    model.schema_given = schema
    return model


def why_unusable(schema: Mapping[str, Any]) -> str | None:
    """Why a schema cannot be the input of a tool; None if it can."""
    from jsonschema import SchemaError  # type: ignore[import-untyped]

    if schema.get("type") != "object":
        return "its input is no object"
    properties = schema.get("properties", {})
    try:
        if (reason := beyond(schema)) is not None:
            return reason
        _validator(schema).check_schema(schema)
    except (SchemaError, RecursionError, ArithmeticError, ValueError) as error:
        return f"its schema is wrong: {_short(str(getattr(error, 'message', error)))}"
    if odd := [name for name in properties if not _PROPERTY.fullmatch(name)]:
        return f"the name of an argument is not of the form that models take: {_short(odd[0])}"
    return None


def _validator(schema: Mapping[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    from referencing import Registry

    # A registry of its own fetches nothing: a reference of a stranger's schema leads nowhere but into it.
    return validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())


def _faults(schema: Mapping[str, Any], value: object) -> list[tuple[tuple[str | int, ...], str]]:
    from jsonschema.exceptions import relevance  # type: ignore[import-untyped]
    from referencing.exceptions import Unresolvable

    try:
        errors = sorted(_validator(schema).iter_errors(value), key=relevance)
    except (Unresolvable, RecursionError, ArithmeticError, ValueError, re.error) as error:
        # Numbers too large to divide or to print are among them: the input may be as wrong as the schema.
        return [((), f"the schema of this tool cannot be used: {_short(str(error))}")]
    return [(tuple(error.absolute_path), _short(error.message)) for error in errors[:_MOST_ERRORS]]


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:297]}..."

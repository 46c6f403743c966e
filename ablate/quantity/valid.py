"""Values in the types that annotations name: checked by pydantic's rules, with its errors, by its core alone.

To load all of pydantic took an eighth of a command that trains nothing. What it would tell its core of an annotation
is a few lines for the kinds of them that we have.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Hashable
from typing import Any, Literal, NotRequired, TypeVar

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic_core import CoreSchema, SchemaValidator, core_schema

Value = TypeVar("Value")

_PLAIN: dict[Any, Callable[[], CoreSchema]] = {
    int: core_schema.int_schema, str: core_schema.str_schema,
    float: lambda: core_schema.float_schema(allow_inf_nan=False),  # not by a setting, which a table does not heed
    bool: core_schema.bool_schema, Any: core_schema.any_schema, type(None): core_schema.none_schema,
}  # fmt: skip
_OF_NUMBERS, _OF_LENGTHS = {"ge", "gt", "le", "lt"}, {"min_length", "max_length"}
_LIMITS = {"int": _OF_NUMBERS, "float": _OF_NUMBERS, "list": _OF_LENGTHS, "str": {*_OF_LENGTHS, "pattern"}}


@dataclasses.dataclass(frozen=True)
class Before:
    """In an annotation: what makes the value that is to be checked of the one found."""

    make: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class After:
    """In an annotation: what judges a value of the right type, by a `ValueError`, and gives it or another."""

    judge: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Pattern:
    """In an annotation: a regular expression that is found in a text."""

    regex: str


def valid(hint: Any, value: object, *, strict: bool = True) -> Any:
    """The value in the type of the hint: an `int` where a float is meant is one thereafter; no NaN, no infinity.

    `strict` takes no text for a number. Raises pydantic's `ValidationError`, which names each place that is wrong.
    """
    return _validator(hint).validate_python(value, strict=strict)


def valid_json(kind: type[Value], content: bytes) -> Value:
    """As `valid`, of a JSON text, not strict."""
    value: Value = _validator(typing.cast(Hashable, kind)).validate_json(content)
    return value


@functools.cache
def _validator(hint: Any) -> SchemaValidator:
    return SchemaValidator(_schema(hint))


def _schema(hint: Any) -> CoreSchema:
    """What pydantic would make of a hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return functools.reduce(_limited, hint.__metadata__, _schema(hint.__origin__))
    if origin is Literal:
        return core_schema.literal_schema(list(arguments))
    if origin in (typing.Union, types.UnionType):
        kinds = [_schema(each) for each in arguments if each is not type(None)]
        schema = kinds[0] if len(kinds) == 1 else core_schema.union_schema(list(kinds))
        return core_schema.nullable_schema(schema) if len(kinds) < len(arguments) else schema
    if origin is list:
        return core_schema.list_schema(_schema(arguments[0]))
    if origin is dict:
        return core_schema.dict_schema(*map(_schema, arguments))
    if typing.is_typeddict(hint):
        return _table(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast(type, hint))
    return _PLAIN[hint]() if hint in _PLAIN else core_schema.is_instance_schema(hint)


def _limited(schema: CoreSchema, limit: object) -> CoreSchema:
    """A schema with one of an annotation's limits; those of numbers hold for what `Before` has made of a value."""
    match limit:
        case Before(make=make):
            return core_schema.no_info_before_validator_function(make, schema)
        case After(judge=judge):
            return core_schema.no_info_after_validator_function(judge, schema)
        case Ge(ge=number) | Gt(gt=number) | Le(le=number) | Lt(lt=number):
            limits: dict[str, Any] = {type(limit).__name__.lower(): number}
        case Len(min_length=least, max_length=most):
            limits = {"min_length": least} | ({} if most is None else {"max_length": most})
        case Pattern(regex=regex):
            limits = {"pattern": regex}
        case _:
            raise TypeError(f"{limit!r}: expected a limit of an annotation")
    if schema["type"] == "function-before":
        limits = {"schema": _limited(schema["schema"], limit)}
    elif not limits.keys() <= _LIMITS.get(schema["type"], set()):  # which the core would not heed
        raise TypeError(f"{limit!r}: expected a limit of {schema['type']}")
    return typing.cast(CoreSchema, {**schema, **limits})


def _table(kind: type) -> CoreSchema:
    """Of a `TypedDict`; more keys than its own are kept as they are."""
    fields = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        is_required = typing.get_origin(hint) is not NotRequired
        schema = _schema(hint if is_required else typing.get_args(hint)[0])
        fields[name] = core_schema.typed_dict_field(schema, required=is_required)
    return core_schema.typed_dict_schema(fields, extra_behavior="allow")


def _dataclass(kind: type) -> CoreSchema:
    hints, fields = typing.get_type_hints(kind, include_extras=True), list[core_schema.DataclassField]()
    for each in dataclasses.fields(kind):
        schema = _schema(hints[each.name])
        if each.default is not dataclasses.MISSING:
            schema = core_schema.with_default_schema(schema, default=each.default)
        fields.append(core_schema.dataclass_field(each.name, schema))
    arguments = core_schema.dataclass_args_schema(kind.__name__, fields)
    return core_schema.dataclass_schema(kind, arguments, [each["name"] for each in fields])

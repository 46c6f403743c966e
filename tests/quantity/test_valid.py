"""Values are checked as all of pydantic checks them: the same are taken, in the same types, the others for the same.

But that limits are of what `Before` has made of a value, wherever it stands; pydantic's are of what it stands behind.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired

import pydantic
import pytest
from annotated_types import Ge, Le, Len
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from typing_extensions import TypedDict  # which pydantic wants before Python 3.12

from ablate.config import check
from ablate.config.compose import Composer
from ablate.config.settings import GROUPS, Settings
from ablate.inference.portable import Portable
from ablate.quantity import Integer
from ablate.quantity.valid import After, Before, Pattern, valid, valid_json
from ablate.record import reading
from ablate.record.claim import Entry
from ablate.record.dispatch import Message
from ablate.record.lease import Owner

_CONFIG = pydantic.ConfigDict(allow_inf_nan=False, extra="allow", arbitrary_types_allowed=True)
_DATACLASSES = (Owner, Entry, Message)


def pydantics(hint: Any) -> Any:
    """A hint in pydantic's words, where ours are others."""
    ours: dict[type, Callable[[Any], Any]] = {
        Before: lambda each: pydantic.BeforeValidator(each.make),
        After: lambda each: pydantic.AfterValidator(each.judge),
        Pattern: lambda each: pydantic.StringConstraints(pattern=each.regex),
    }
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        # What `Before` makes of a value is what all limits are of, which pydantic's are if they stand in front of it.
        ordered = sorted(hint.__metadata__, key=lambda each: isinstance(each, Before))
        limits = [ours.get(type(each), lambda same: same)(each) for each in ordered]
        return functools.reduce(lambda kind, limit: Annotated[kind, limit], limits, pydantics(hint.__origin__))
    if typing.is_typeddict(hint):
        table = TypedDict("Table", {  # type: ignore[misc]
            name: pydantics(each) for name, each in typing.get_type_hints(hint, include_extras=True).items()
        })  # fmt: skip
        table.__pydantic_config__ = _CONFIG  # type: ignore[attr-defined]
        return table
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(lambda first, second: first | second, map(pydantics, arguments))
    if origin is NotRequired:
        return NotRequired[pydantics(arguments[0])]
    return origin[tuple(map(pydantics, arguments))] if origin in (list, dict) else hint


@functools.cache
def reference(hint: Any) -> pydantic.TypeAdapter[Any]:
    has_its_own = typing.is_typeddict(hint) or dataclasses.is_dataclass(hint)
    return pydantic.TypeAdapter(pydantics(hint), config=None if has_its_own else _CONFIG)


def pydantics_valid(hint: Any, value: object, *, strict: bool = True) -> Any:
    return reference(hint).validate_python(value, strict=strict)


def outcome(judge: Callable[..., Any], *given: object, **options: bool) -> Any:
    """What a check gives, with its types, or all that it says."""
    try:
        return repr(judge(*given, **options))
    except pydantic.ValidationError as error:
        return [(each["type"], each["loc"], each["msg"], repr(each["input"])) for each in error.errors()]


@functools.cache
def hints_of_configs() -> list[Any]:
    """The annotation of each key that a config may have, each once."""
    found = [*typing.get_type_hints(Settings, include_extras=True).values()]
    with Composer() as composer:
        for group in GROUPS:
            for option in composer.options(group):
                node = OmegaConf.to_container(composer.compose([f"{group}={option}"])[group])
                found += check._hints(group, typing.cast(dict[str, Any], node)).values()
    return list(dict.fromkeys(found))


KINDS = [
    reading.Result, reading.PlanRecord, reading.CommandRecord, reading.DecisionRecord, reading.Utterance, Portable,
    list[reading.FoundRecord], list[reading.TestRecord], reading.Row,
]  # fmt: skip

numbers = st.one_of(st.integers(-3, 1200), st.floats(), st.integers().map(float), st.sampled_from([0.5, 1.0, 5e6]))
words = st.one_of(st.text(max_size=3), st.sampled_from(["relu", "bf16", "grid", "a/b", ".wav", "x" * 150, "3", "AA"]))
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
values = st.one_of(
    scalars, st.lists(scalars, max_size=3), st.dictionaries(st.one_of(words, numbers), scalars, max_size=3),
)  # fmt: skip


@settings(deadline=None)
@given(values)
def test_every_key_of_a_config_is_checked_as_pydantic_checks_it(value: object) -> None:
    for hint in hints_of_configs():
        assert outcome(valid, hint, value) == outcome(pydantics_valid, hint, value)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(st.data())
def test_records_are_checked_as_pydantic_checks_them(kind: Any, data: st.DataObject) -> None:
    value = record(kind, data)
    for strict in (True, False):
        found = outcome(valid, kind, value, strict=strict)
        assert found == outcome(pydantics_valid, kind, value, strict=strict)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_number_of_a_record_is_infinite_or_none(number: float) -> None:
    result = {"key": "a", "status": "finished", "metrics": {"val/accuracy": 1.0}}
    plan = {"study": "a", "plan_id": "b", "design": "grid", "baseline": "c", "cells": []}
    command = {"config_name": "config", "folders": [], "overrides": []}
    changes: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
        *((reading.Result, result, {name: number}) for name in ("seconds", "cost", "frames_per_second")),
        (reading.Result, result, {"metrics": {"val/accuracy": 1.0, "val/loss": number}}),
        (reading.PlanRecord, plan, {"margin": number}),
        (reading.CommandRecord, command, {"stages": {"a": number}}),
    ]
    for kind, sound, wrong in changes:
        valid(kind, sound)
        with pytest.raises(pydantic.ValidationError, match="finite number"):
            valid(kind, {**sound, **wrong})


def record(kind: Any, data: st.DataObject) -> Any:
    """Something like a record of this kind: each field sound, or not, or not there."""
    if typing.get_origin(kind) is list:
        return [record(typing.get_args(kind)[0], data)]
    if not typing.is_typeddict(kind):
        return data.draw(st.dictionaries(words, scalars, max_size=3))
    found: dict[str, Any] = {"of_a_later_version": 1}
    for name, hint in typing.get_type_hints(kind).items():
        fitting = {str: "a", int: 3, float: 0.5, list[str]: ["a"], Literal["finished", "diverged"]: "finished"}
        if typing.is_typeddict(hint):
            found[name] = record(hint, data)
        elif data.draw(st.integers(0, 9)):
            found[name] = fitting.get(hint, {})
        elif data.draw(st.booleans()):
            found[name] = data.draw(values)
    return found


@pytest.mark.parametrize("kind", _DATACLASSES)
@given(st.data())
def test_what_processes_tell_each_other_is_checked_as_pydantic_checks_it(kind: Any, data: st.DataObject) -> None:
    names = [each.name for each in dataclasses.fields(kind)]
    owner = {"host": "a", "space": "b", "pid": 1, "started": 2.5, "token": "c"}
    sound = owner | {"kind": "claimed", "owner": owner, "key": "k", "text": "t", "member": None, "result": None}
    told = {name: data.draw(st.one_of(st.just(sound.get(name)), scalars.filter(_is_json))) for name in names}
    content = json.dumps({name: told[name] for name in names if data.draw(st.integers(0, 9))}).encode()
    assert outcome(valid_json, kind, content) == outcome(reference(kind).validate_json, content)


def _is_json(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    "hint",
    [Annotated[str, Ge(1)], Annotated[int, Len(1)], Annotated[int | None, Le(3)], Annotated[bool, "a word"],
     Annotated[Integer, Pattern("a")]],
)  # fmt: skip
def test_a_limit_that_would_not_be_heeded_is_refused(hint: Any) -> None:
    with pytest.raises(TypeError, match="expected a limit of"):
        valid(hint, 3)
